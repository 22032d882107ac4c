// augment, image by image and pixel by pixel.
#include "ops/augment/augment_map.h"

namespace convkit::CK_ISA {

void augment_naive_forward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for (int64_t n = 0; n < call[0].shape[0]; ++n) augment_image<T>(call, n);
  });
}

void augment_naive_backward(const Call& call) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    for (int64_t n = 0; n < call[0].shape[0]; ++n) augment_image_backward<T>(call, n);
  });
}

}  // namespace convkit::CK_ISA
