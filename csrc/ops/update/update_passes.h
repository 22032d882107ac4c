// Which rule a pass stands for.
#pragma once

#ifndef CK_ISA
#error "ops/update/update_passes.h is for sources that are compiled once per ISA"
#endif

#include "ops/update/update_rules.h"

namespace convkit::CK_ISA {

// For a way to drive rules: Way::run<Rule, T>(call, state...), with the numbers of the states'
// operands. The first one is Way::kState; w is the last operand of all.
template <class Way, template <class> class Rule, class... At>
CK_HOST_INLINE void run_rule(const Call& call, At... state) {
  dispatch_float(call[0].dtype, [&]<class T>(T) {
    Way::template run<Rule<T>, T>(call, (Way::kState + state)...);
  });
}

template <class Way>
void run_sgd(const Call& call) {
  // A momentum that rounds to 0 still has a velocity.
  if (call.as<UpdateParams>().momentum == 0) return run_rule<Way, PlainSgd>(call);
  run_rule<Way, Sgd>(call, 0);
}
template <class Way>
void run_adagrad(const Call& call) {
  run_rule<Way, Adagrad>(call, 0);
}
template <class Way>
void run_adadelta(const Call& call) {
  run_rule<Way, Adadelta>(call, 0, 1);
}
template <class Way>
void run_rmsprop(const Call& call) {
  const bool centered = call[Way::kState + 1].present(), momentum = call[Way::kState + 2].present();
  if (centered && momentum) return run_rule<Way, RmsPropCenteredMomentum>(call, 0, 1, 2);
  if (centered) return run_rule<Way, RmsPropCentered>(call, 0, 1);
  if (momentum) return run_rule<Way, RmsPropMomentum>(call, 0, 2);
  run_rule<Way, RmsPropAlone>(call, 0);
}
template <class Way>
void run_adam(const Call& call) {
  if (call[Way::kState + 2].present()) return run_rule<Way, AmsGrad>(call, 0, 1, 2);
  run_rule<Way, Adam>(call, 0, 1);
}
template <class Way>
void run_nadam(const Call& call) {
  run_rule<Way, Nadam>(call, 0, 1);
}
template <class Way>
void run_adamax(const Call& call) {
  run_rule<Way, Adamax>(call, 0, 1);
}
template <class Way>
void run_lion(const Call& call) {
  run_rule<Way, Lion>(call, 0);
}

}  // namespace convkit::CK_ISA
