#include "method/device_loss.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cassert>
#include <optional>

#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "kernels/sample_loss.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The tensors of one call. Undefined: a target of weight 0.
struct LossTensors {
  at::Tensor student, normal, homologous;  // [T, hidden]
  at::Tensor coefficients;                 // [T, 4] float32

  // What both passes share.
  kernels::SampleLoss task() const {
    const at::Tensor& target = normal.defined() ? normal : homologous;
    assert(!homologous.defined() || homologous.scalar_type() == target.scalar_type());
    kernels::SampleLoss task = {};
    task.student = student.const_data_ptr();
    if (normal.defined()) task.normal = normal.const_data_ptr();
    if (homologous.defined()) task.homologous = homologous.const_data_ptr();
    task.coefficients = coefficients.data_ptr<float>();
    task.tokens = student.size(0);
    task.hidden = student.size(1);
    task.student_element = element_of(student);
    task.target_element = element_of(target);
    return task;
  }
};

void set_weights(kernels::SampleLoss& task, double normal, double homologous, bool relative) {
  task.normal_weight = static_cast<float>(normal);
  task.homologous_weight = static_cast<float>(homologous);
  task.relative = relative;
}

struct DeviceSampleLoss : torch::autograd::Function<DeviceSampleLoss> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& student,
                            const std::optional<at::Tensor>& normal,
                            const std::optional<at::Tensor>& homologous, double normal_weight,
                            double homologous_weight, bool relative) {
    const auto whole = [](const std::optional<at::Tensor>& target) {
      return target ? kernel_input(*target) : at::Tensor();
    };
    const at::TensorOptions floats = student.options().dtype(at::kFloat);
    const LossTensors tensors = {kernel_input(student), whole(normal), whole(homologous),
                                 at::empty({student.size(0), 4}, floats)};
    const at::Tensor sums = at::empty({student.size(0), 8}, floats);
    const at::Tensor loss = at::empty({}, floats);
    kernels::SampleLoss task = tensors.task();
    set_weights(task, normal_weight, homologous_weight, relative);
    task.token_sums = sums.data_ptr<float>();
    task.loss = loss.data_ptr<float>();
    check_cuda(kernels::sample_loss(task, stream_of(student)), "sample_loss");
    context->save_for_backward(
        {tensors.student, tensors.normal, tensors.homologous, tensors.coefficients});
    context->saved_data["normal"] = normal_weight;
    context->saved_data["homologous"] = homologous_weight;
    context->saved_data["relative"] = relative;
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    // The gradient is linear in the coefficients, which are few.
    const LossTensors tensors = {saved[0], saved[1], saved[2], saved[3] * gradients[0]};
    kernels::SampleLoss task = tensors.task();
    set_weights(task, context->saved_data["normal"].toDouble(),
                context->saved_data["homologous"].toDouble(),
                context->saved_data["relative"].toBool());
    const at::Tensor of_student = at::empty(tensors.student.sizes(), tensors.student.options());
    check_cuda(
        kernels::sample_loss_gradient(task, of_student.data_ptr(), stream_of(tensors.student)),
        "sample_loss_gradient");
    return {of_student, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor device_sample_loss(const at::Tensor& student, const at::Tensor& normal,
                              const at::Tensor& homologous, const LossSettings& settings) {
  const auto used = [](double weight, const at::Tensor& target) {
    return weight == 0 ? std::nullopt : std::optional(target.detach());
  };
  return DeviceSampleLoss::apply(student, used(settings.normal, normal),
                                 used(settings.homologous, homologous), settings.normal,
                                 settings.homologous, settings.error == ErrorKind::relative);
}

}  // namespace bitmill
