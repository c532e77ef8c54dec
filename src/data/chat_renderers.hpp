#pragma once
// What known chat templates do with messages: one function each, of the form of ChatFormat::render.

#include <span>
#include <string>

#include "data/chat_formats.hpp"

namespace bitmill {

std::string render_llama2(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                          bool asks);
std::string render_llama3(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                          bool asks);
std::string render_llama3_asking(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                                 bool asks);
std::string render_llama31(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                           bool asks);
std::string render_mistral_v01_first(std::span<const ChatMessage> messages,
                                     const ChatTokens& tokens, bool asks);
std::string render_mistral_v02_first(std::span<const ChatMessage> messages,
                                     const ChatTokens& tokens, bool asks);
std::string render_mistral_v01(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                               bool asks);
std::string render_qwen2(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                         bool asks);
std::string render_qwen25(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                          bool asks);
std::string render_qwen3(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                         bool asks);
std::string render_smollm2(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                           bool asks);
std::string render_chatml(std::span<const ChatMessage> messages, const ChatTokens& tokens,
                          bool asks);

}  // namespace bitmill
