// The fields of UpdateParams by name, for the tables of the ops that take them.
#pragma once

#include "ops/update/update.h"

namespace convkit {

constexpr ParamField kUpdateFields[] = {
    CK_FIELD(UpdateParams, momentum),     CK_FIELD(UpdateParams, nesterov),
    CK_FIELD(UpdateParams, beta1),        CK_FIELD(UpdateParams, beta2),
    CK_FIELD(UpdateParams, rho),          CK_FIELD(UpdateParams, epsilon),
    CK_FIELD(UpdateParams, weight_decay), CK_FIELD(UpdateParams, decoupled),
    CK_FIELD(UpdateParams, maximize),     CK_FIELD(UpdateParams, clip_value),
    CK_FIELD(UpdateParams, lr_scale),     CK_FIELD(UpdateParams, max_norm),
};

}  // namespace convkit
