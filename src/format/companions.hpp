#pragma once
// The files of a model's folder beside its tensors and config.json: which a result gets, which it
// does not get, and which would change the model.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// Copies every file of `from` into `to`, except tensors, their index, config.json, the Python file
// of a packed folder (handover/loading_keys.hpp) and weights in other formats (*.bin, *.pt, *.pth,
// *.gguf, *.h5, *.msgpack, *.onnx). Follows links. Of the
// sub-folders it copies the chat templates, additional_chat_templates/*.jinja, and nothing else.
void copy_companion_files(Files& files, const std::string& from, const std::string& to);
// One sentence for each file that copy_companion_files() could not copy: it cannot be opened, or is
// no regular file.
std::vector<std::string> companion_problems(Files& files, const std::string& from);
// One sentence for each kind of thing in the folder that a user might expect to be read or copied
// and that is not, and for files that are copied and that bitmill does not know.
std::vector<std::string> companion_notes(Files& files, const TensorFolder& tensors);

// FormatError when an adapter lies beside the tensors: transformers would add it to them.
void check_no_adapter(Files& files, const std::string& folder);

}  // namespace bitmill
