// Convolutions of oneDNN as targets of XLA's foreign function interface on CPUs.
//
// A convolution y of images x [B, H, W, I] with a kernel w [kh, kw, I / groups, O] is linear in both.
// One handler computes y, or either gradient, from the other two arrays; all are row-major. With
// `bfloat16` the factors of the products are rounded to bfloat16, where they are not of this type
// already, and sums are float32. `threads` is the number of threads of a call, 0 leaves it to OpenMP.

#include <array>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>

#include "oneapi/dnnl/dnnl.hpp"
#include "xla/ffi/api/ffi.h"

extern "C" void omp_set_num_threads(int);  // of the OpenMP that oneDNN was linked to

namespace {

namespace ffi = xla::ffi;
using dnnl::memory;

enum Wanted : int64_t { kImages = 0, kKernel = 1, kResult = 2 };

// An array as the caller has it, and as the primitive wants it.
struct Array {
  int argument;
  memory::desc given, wanted;
};

struct Plan {
  dnnl::primitive primitive;
  Array first, second, out;
  memory::desc scratchpad;
};

dnnl::engine& Engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::dims Pixels(ffi::AnyBuffer::Dimensions shape) {
  return {shape[0], shape[3], shape[1], shape[2]};
}

memory::data_type TypeOf(const ffi::AnyBuffer& buffer) {
  return buffer.element_type() == ffi::DataType::BF16 ? memory::data_type::bf16
                                                      : memory::data_type::f32;
}

// Images, kernel and result, in this order.
using Shapes = std::array<ffi::AnyBuffer::Dimensions, 3>;
using Types = std::array<memory::data_type, 3>;

Plan MakePlan(const Shapes& shapes, const Types& types, Wanted wanted, int64_t stride,
              ffi::Span<const int64_t> padding, int64_t groups, bool bfloat16) {
  using Tag = memory::format_tag;
  const auto f32 = memory::data_type::f32;
  const auto factor = bfloat16 ? memory::data_type::bf16 : f32;
  const auto direct = dnnl::algorithm::convolution_direct;
  const memory::dims images = Pixels(shapes[kImages]), result = Pixels(shapes[kResult]);
  const memory::dims strides = {stride, stride};
  const auto w = shapes[kKernel];
  const memory::dims before = {padding[0], padding[2]}, after = {padding[1], padding[3]};
  memory::dims kernel = {w[3], w[2], w[0], w[1]};
  if (groups > 1) kernel = {groups, w[3] / groups, w[2], w[0], w[1]};

  const memory::desc x_given(images, types[kImages], Tag::nhwc);
  const memory::desc y_given(result, types[kResult], Tag::nhwc);
  const memory::desc w_given(kernel, types[kKernel], groups > 1 ? Tag::hwigo : Tag::hwio);
  const memory::desc x_sum(images, f32, Tag::nhwc), y_sum(result, f32, Tag::nhwc);
  const memory::desc x_factor(images, factor, Tag::nhwc), y_factor(result, factor, Tag::nhwc);
  const memory::desc w_factor(kernel, factor, Tag::any), w_sum(kernel, f32, Tag::any);
  // XLA calls from any of its threads, and several at once. With scratchpads of its own, oneDNN would
  // require a primitive to run in the thread that made it.
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::convolution_forward::primitive_desc forward(
      Engine(), dnnl::prop_kind::forward_training, direct, x_factor, w_factor, y_sum, strides,
      before, after, attributes);
  if (wanted == kResult) {
    return {dnnl::convolution_forward(forward),
            {DNNL_ARG_SRC, x_given, forward.src_desc()},
            {DNNL_ARG_WEIGHTS, w_given, forward.weights_desc()},
            {DNNL_ARG_DST, y_given, forward.dst_desc()},
            forward.scratchpad_desc()};
  }
  if (wanted == kImages) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        Engine(), direct, x_sum, w_factor, y_factor, strides, before, after, forward, attributes);
    return {dnnl::convolution_backward_data(backward),
            {DNNL_ARG_WEIGHTS, w_given, backward.weights_desc()},
            {DNNL_ARG_DIFF_DST, y_given, backward.diff_dst_desc()},
            {DNNL_ARG_DIFF_SRC, x_given, backward.diff_src_desc()},
            backward.scratchpad_desc()};
  }
  const dnnl::convolution_backward_weights::primitive_desc backward(
      Engine(), direct, x_factor, w_sum, y_factor, strides, before, after, forward, attributes);
  return {dnnl::convolution_backward_weights(backward),
          {DNNL_ARG_SRC, x_given, backward.src_desc()},
          {DNNL_ARG_DIFF_DST, y_given, backward.diff_dst_desc()},
          {DNNL_ARG_DIFF_WEIGHTS, w_given, backward.diff_weights_desc()},
          backward.scratchpad_desc()};
}

// Returns the plan of these shapes, types and number of threads, which is made once.
Plan& FindPlan(const Shapes& shapes, const Types& types, Wanted wanted, int64_t stride,
               ffi::Span<const int64_t> padding, int64_t groups, bool bfloat16, int64_t threads) {
  static std::mutex mutex;
  static std::unordered_map<std::string, Plan> plans;
  std::string key;
  for (const auto& shape : shapes) {
    for (int64_t size : shape) key += std::to_string(size) + ",";
  }
  for (memory::data_type type : types) key += std::to_string(static_cast<int>(type)) + ",";
  for (int64_t value : {static_cast<int64_t>(wanted), stride, padding[0], padding[1], padding[2],
                        padding[3], groups, static_cast<int64_t>(bfloat16), threads}) {
    key += std::to_string(value) + ",";
  }
  std::lock_guard<std::mutex> lock(mutex);
  auto found = plans.find(key);
  if (found == plans.end()) {
    Plan plan = MakePlan(shapes, types, wanted, stride, padding, groups, bfloat16);
    found = plans.emplace(key, std::move(plan)).first;
  }
  return found->second;
}

// Returns memory of the calling thread, which its next call uses again.
memory Scratchpad(const memory::desc& wanted) {
  constexpr size_t kAlignment = 64;
  thread_local std::unique_ptr<void, decltype(&std::free)> data(nullptr, &std::free);
  thread_local size_t size = 0;
  const size_t needed = wanted.get_size();
  if (needed > size) {
    size = (needed + kAlignment - 1) / kAlignment * kAlignment;
    data.reset();
    data.reset(std::aligned_alloc(kAlignment, size));
    if (!data) {
      size = 0;
      throw std::bad_alloc();
    }
  }
  return memory(wanted, Engine(), data.get());
}

memory Given(const Array& array, ffi::AnyBuffer buffer) {
  return memory(array.given, Engine(), buffer.untyped_data());
}

memory Input(const Array& array, ffi::AnyBuffer buffer, dnnl::stream& stream) {
  memory given = Given(array, buffer);
  if (array.given == array.wanted) return given;
  memory wanted(array.wanted, Engine());
  dnnl::reorder(given, wanted).execute(stream, given, wanted);
  return wanted;
}

ffi::Error Convolve(ffi::AnyBuffer first, ffi::AnyBuffer second, ffi::Result<ffi::AnyBuffer> out,
                    int64_t wanted, int64_t stride, ffi::Span<const int64_t> padding,
                    int64_t groups, bool bfloat16, int64_t threads) {
  try {
    if (threads > 0) omp_set_num_threads(static_cast<int>(threads));
    // The two arguments are x, w and y in this order, without the one that is wanted.
    Shapes shapes;
    Types types;
    const auto note = [&](int64_t which, const ffi::AnyBuffer& buffer) {
      shapes[which] = buffer.dimensions();
      types[which] = TypeOf(buffer);
    };
    note(wanted, *out);
    note(wanted == kImages ? kKernel : kImages, first);
    note(wanted == kResult ? kKernel : kResult, second);
    Plan& plan = FindPlan(shapes, types, static_cast<Wanted>(wanted), stride, padding, groups,
                          bfloat16, threads);
    dnnl::stream stream(Engine());
    memory given = Given(plan.out, *out);
    const bool direct = plan.out.given == plan.out.wanted;
    memory result = direct ? given : memory(plan.out.wanted, Engine());
    plan.primitive.execute(stream, {{plan.first.argument, Input(plan.first, first, stream)},
                                    {plan.second.argument, Input(plan.second, second, stream)},
                                    {plan.out.argument, result},
                                    {DNNL_ARG_SCRATCHPAD, Scratchpad(plan.scratchpad)}});
    if (!direct) dnnl::reorder(result, given).execute(stream, result, given);
    stream.wait();
    return ffi::Error::Success();
  } catch (const dnnl::error& error) {
    return ffi::Error::Internal(std::string("oneDNN: ") + error.what());
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "oneDNN: no memory for a convolution");
  }
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(mlseg_convolve, Convolve,
                              ffi::Ffi::Bind()
                                  .Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::AnyBuffer>()
                                  .Ret<ffi::AnyBuffer>()
                                  .Attr<int64_t>("wanted")
                                  .Attr<int64_t>("stride")
                                  .Attr<ffi::Span<const int64_t>>("padding")
                                  .Attr<int64_t>("groups")
                                  .Attr<bool>("bfloat16")
                                  .Attr<int64_t>("threads"));
