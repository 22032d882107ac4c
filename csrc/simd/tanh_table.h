// tanh(a) / a for 0 <= a <= 9.1, which vectors of 16 look up. For kernel sources only (core/isa.h).
#pragma once

#include "simd/vec.h"

#if CK_X86_64 && CK_ISA_LEVEL == 2

namespace convkit::CK_ISA::math_detail {

// Column n holds the polynomial, highest power first, in t = kTanhScale a - n for |t| <= 1/2:
// minimax in the relative error, 8.4e-9 at most.
constexpr float kTanhScale = 0x1.ba5e36p1f;
constexpr float kTanhBound = 9.1f;
alignas(64) constexpr float kTanhTable[6][32] = {
    {-0x1.84ab84p-15f, -0x1.1c912p-13f,  -0x1.a17a1ep-14f, -0x1.396048p-17f, 0x1.de1122p-16f,
     0x1.b81994p-16f,  0x1.f5ab2p-17f,   0x1.bd4daep-18f,  0x1.31bc9ep-19f,  0x1.9800d8p-22f,
     -0x1.4c5e66p-22f, -0x1.022a92p-21f, -0x1.eb87p-22f,   -0x1.956bc6p-22f, -0x1.3a973p-22f,
     -0x1.da9102p-23f, -0x1.6193fp-23f,  -0x1.0689eep-23f, -0x1.8696bap-24f, -0x1.23ff5ep-24f,
     -0x1.b79bap-25f,  -0x1.4d9574p-25f, -0x1.fea374p-26f, -0x1.8a4daap-26f, -0x1.332bd4p-26f,
     -0x1.e2bee2p-27f, -0x1.7e8678p-27f, -0x1.318de6p-27f, -0x1.ebe4p-28f,   -0x1.8ed0bp-28f,
     -0x1.459408p-28f, -0x1.0b8526p-28f},
    {0x1.f781dap-11f,  0x1.130a7cp-11f,  -0x1.0411fcp-13f, -0x1.948912p-12f, -0x1.498f12p-12f,
     -0x1.619b1ep-13f, -0x1.12faeep-14f, -0x1.bebbacp-17f, 0x1.017ea2p-17f,  0x1.c94b7cp-17f,
     0x1.c4b024p-17f,  0x1.7e2718p-17f,  0x1.2df81ap-17f,  0x1.cf28e2p-18f,  0x1.5ed60ap-18f,
     0x1.0900bcp-18f,  0x1.91670ep-19f,  0x1.31cbaap-19f,  0x1.d589eap-20f,  0x1.6ba4d6p-20f,
     0x1.1c3adcp-20f,  0x1.c0742cp-21f,  0x1.650552p-21f,  0x1.1ebecep-21f,  0x1.d08086p-22f,
     0x1.7b3e8cp-22f,  0x1.37faa6p-22f,  0x1.0278bp-22f,   0x1.af24ep-23f,   0x1.69d6fep-23f,
     0x1.317634p-23f,  0x1.034a86p-23f},
    {-0x1.bbeba4p-18f, 0x1.9e4a82p-9f,   0x1.fda74ap-9f,   0x1.60f59ep-9f,   0x1.3ffec4p-10f,
     0x1.10a5ccp-12f,  -0x1.86f7eap-13f, -0x1.5828e6p-12f, -0x1.5b435p-12f,  -0x1.2acd64p-12f,
     -0x1.e11ddp-13f,  -0x1.78167p-13f,  -0x1.22abfcp-13f, -0x1.c09b2ep-14f, -0x1.5b89dcp-14f,
     -0x1.0f234cp-14f, -0x1.aac164p-15f, -0x1.53096ep-15f, -0x1.0ff82p-15f,  -0x1.b8873p-16f,
     -0x1.681574p-16f, -0x1.28ec54p-16f, -0x1.edbf52p-17f, -0x1.9db62cp-17f, -0x1.5d29b6p-17f,
     -0x1.28acc4p-17f, -0x1.fb5256p-18f, -0x1.b44d9ep-18f, -0x1.79454ep-18f, -0x1.47e22p-18f,
     -0x1.1e505ep-18f, -0x1.f6404p-19f},
    {-0x1.c93c16p-6f, -0x1.74ae3ep-6f, -0x1.78ee66p-7f, -0x1.6801fp-10f, 0x1.217a94p-8f,
     0x1.a9499ap-8f,  0x1.a9c496p-8f,  0x1.73cb0ap-8f,  0x1.31a092p-8f,  0x1.e95e76p-9f,
     0x1.84457ep-9f,  0x1.34309ep-9f,  0x1.ebfe28p-10f, 0x1.8bfc5ap-10f, 0x1.41c922p-10f,
     0x1.081e96p-10f, 0x1.b5e4bep-11f, 0x1.6e7918p-11f, 0x1.3577cap-11f, 0x1.078702p-11f,
     0x1.c44e8ap-12f, 0x1.86f23cp-12f, 0x1.5424b8p-12f, 0x1.29be46p-12f, 0x1.0616f8p-12f,
     0x1.cfcc62p-13f, 0x1.9c55e8p-13f, 0x1.70351ep-13f, 0x1.4a27a4p-13f, 0x1.292b18p-13f,
     0x1.0c6ecep-13f, 0x1.e6921ep-14f},
    {-0x1.1ac87ap-25f, -0x1.ac1c3ap-5f, -0x1.63cd28p-4f, -0x1.9606a6p-4f, -0x1.868438p-4f,
     -0x1.57e0e6p-4f,  -0x1.21c81ep-4f, -0x1.df4cbcp-5f, -0x1.8a9dccp-5f, -0x1.4604fap-5f,
     -0x1.0f653ap-5f,  -0x1.c824d6p-6f, -0x1.833446p-6f, -0x1.4bf6ecp-6f, -0x1.1f4d0cp-6f,
     -0x1.f5a96cp-7f,  -0x1.b980fap-7f, -0x1.8766eap-7f, -0x1.5d4958p-7f, -0x1.39933cp-7f,
     -0x1.1b0c6ep-7f,  -0x1.00c22ep-7f, -0x1.d3ebeap-8f, -0x1.ac21b8p-8f, -0x1.893484p-8f,
     -0x1.6a61cep-8f,  -0x1.4f0b7ap-8f, -0x1.36bp-8f,    -0x1.20e47ap-8f, -0x1.0d501p-8f,
     -0x1.f750e2p-9f,  -0x1.d75e3p-9f},
    {0x1.0p0f,       0x1.f22c82p-1f, 0x1.cd9638p-1f, 0x1.9d1a94p-1f, 0x1.6ad3c4p-1f, 0x1.3cc0d6p-1f,
     0x1.15269p-1f,  0x1.e843bep-2f, 0x1.b1d16p-2f,  0x1.84efep-2f,  0x1.5fbafp-2f,  0x1.409e22p-2f,
     0x1.26581p-2f,  0x1.0feeb2p-2f, 0x1.f941d6p-3f, 0x1.d7b2eep-3f, 0x1.ba48a6p-3f, 0x1.a04d4ap-3f,
     0x1.893146p-3f, 0x1.748208p-3f, 0x1.61e344p-3f, 0x1.5109eap-3f, 0x1.41b864p-3f, 0x1.33bbb6p-3f,
     0x1.26e956p-3f, 0x1.1b1d8p-3f,  0x1.1039fp-3f,  0x1.0624d8p-3f, 0x1.f99038p-4f, 0x1.e82152p-4f,
     0x1.d7dbf4p-4f, 0x1.c8a35p-4f},
};

// Row `row` of the table, by the last five bits of each lane's index.
CK_INLINE Vec<float> tanh_coefficient(int row, Vec<float>::Int index) {
  return Vec<float>(_mm512_permutex2var_ps(_mm512_load_ps(kTanhTable[row]), (__m512i)index,
                                           _mm512_load_ps(kTanhTable[row] + 16)));
}

}  // namespace convkit::CK_ISA::math_detail

#endif
