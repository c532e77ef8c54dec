#pragma once
// The text of a long stage: many files, larger than memory, as numbered sequences of token ids.
// CORPUS.md, "Corpora", says how documents are told apart and how sequences are cut.
//
// Three steps, in this order:
//
//   corpus_disk_bytes(files, options);       what prepare_corpus() will write: for a preflight
//   prepare_corpus(files, options);          once per scratch folder: unpacks, makes the index
//   TrainingCorpus corpus(files, options);   on every rank: reads the index, tokenizes on demand
//
// Ranks. Nothing here knows of ranks. Where all ranks see one scratch folder, one rank prepares and
// the others wait for it (a broadcast) before they open. Where each host has its own, one rank of
// each host prepares. Several processes may prepare in one folder at the same time: files have
// names of their process until they are whole, and all make the same. A job whose corpus another
// job may use too gives its runs folders of their own: remove_prepared_corpus() does not ask.
//
// Same sequences. sequence(i) depends on the content of the files, their order, the options below
// and the tokenizer; never on ranks, threads, scratch folder, compression, or calls before.
//
// Resume. A job's state needs one number, the position it goes on with. fingerprint() belongs into
// the job's fingerprint: a corpus that was changed between two starts has another one, and the job
// refuses to go on. A start that prepares reads all files once more, and makes a new index where
// one has changed. A text that changes while a job runs is noticed when one of its documents is
// read: FormatError. Token files are only held to the vocabulary then.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "data/corpus_index.hpp"
#include "data/corpus_overlap.hpp"

namespace bitmill {

enum class CorpusCut {
  // One sequence for each document: its first seq_len tokens, or all where it has fewer.
  documents,
  // Every sequence has seq_len tokens, over the borders of documents. They begin at evenly spaced
  // places of the text, as many as it has windows, so that almost every token is in one of them.
  packed,
};

struct CorpusOptions {
  std::vector<std::string> paths;  // texts (.txt, .jsonl, other; plain, gzip, zstd), or token files
  std::string text_key = {};       // of JSON lines, as in read_corpus_text()
  std::string model_folder;        // tokenizer, chat template, EOS
  int64_t vocab_size = 0;          // of the model: ids must be below
  int64_t seq_len = 0;             // T, tokens
  CorpusCut cut = CorpusCut::documents;
  // Documents with fewer bytes are left out: 128 are about 32 tokens of English, and fewer tokens
  // would weigh as much as a whole sequence where losses are means over sequences.
  int64_t least_bytes = 128;
  // Of the shuffled sequences, only so many are used; 0: all. More than there are is no error.
  int64_t wanted = 0;
  uint64_t seed = 0;
  // Ratio of the text, at its end, that is never trained on: 0 <= numerator < denominator.
  int64_t held_out_numerator = 0, held_out_denominator = 1;
  std::string scratch_dir;  // for the index and unpacked files
};

// What prepare_corpus() writes and does not find there yet: about, by the first MiB of each
// content, behind which nothing is read. UsageError or FormatError where the first MiB of a text
// shows that prepare_corpus() would refuse it.
CorpusDiskBytes corpus_disk_bytes(Files& files, const CorpusOptions& options);

// Unpacks compressed files into options.scratch_dir, and writes the index of all files: 32 bytes
// for each document. Reads every file once, and compressed ones twice. Memory: a few MiB, a window
// of zstd, and the longest line of JSON with its value; a line has at most 64 MiB. Nothing
// unfinished ever has a final name.
//
// UsageError: no file; a file that is no text; token files and texts together; no document with
// least_bytes (says how long the longest is). FormatError with file and line: empty files, bytes 0,
// invalid UTF-8, a line of JSON that is too long, is none, or lacks the key (says which are there);
// compressed files that end early or are damaged. FileError: the disk is full, with what to do.
//
// `progress` hears how many bytes were done since it heard last, about every MiB. What it throws
// ends the work, and nothing unfinished stays.
void prepare_corpus(
    Files& files, const CorpusOptions& options, const CorpusProgress& progress = [](int64_t) {});

// Whether everything has been prepared, of files of these sizes. Does not read them.
bool corpus_is_prepared(Files& files, const CorpusOptions& options);

// Removes what prepare_corpus() wrote for these options. No error where nothing is there.
void remove_prepared_corpus(Files& files, const CorpusOptions& options);

// Const methods may be called from several threads at once.
class TrainingCorpus {
 public:
  // Opens what was prepared. UsageError where nothing was, or another text; where the text is
  // shorter than one window, or one part of it is without a sequence (held_out). Tokenizes up to
  // 1 MiB of text to learn how many bytes a token has, where sequences are packed.
  TrainingCorpus(Files& files, CorpusOptions options);
  ~TrainingCorpus();
  TrainingCorpus(TrainingCorpus&&) noexcept;

  // Sequences of one pass over what is trained on; at least 1.
  int64_t size() const;
  // The sequence at `position` >= 0: 2 to seq_len token ids, exactly seq_len where they are packed.
  // Positions [0, size()) are the first pass, in an order that follows from the seed; the next
  // size() positions are the same sequences in another order, and so on. A document of fewer than
  // two tokens is replaced by the one behind it. FormatError where its file was changed, or has
  // become unreadable, or where an id is not below vocab_size.
  std::vector<int32_t> sequence(int64_t position) const;

  // Of the text that is held out: 0 without a ratio; else ratio * size(), at least 1, and at most
  // as many as there are. They too follow from the seed.
  int64_t held_out_size() const;
  std::vector<int32_t> held_out_sequence(int64_t i) const;  // 0 <= i < held_out_size()

  // From here on, sequence() gives another sequence in the place of one that shares text with
  // `evaluation`: the next number in the order of the text whose sequence does not. Each rank
  // decides alike. held_out_sequence() stays as it is. UsageError from sequence() where every one
  // shares text.
  void leave_out(EvaluationText evaluation);
  // Which of the positions [0, count) have a sequence that shares text with `evaluation`, as if
  // nothing were left out. Tokenizes all of them.
  std::vector<int64_t> overlapping_positions(int64_t count, const EvaluationText& evaluation) const;

  // Hash of the unpacked bytes of all files in their order, of text_key and least_bytes.
  std::string fingerprint() const;
  // What the user should hear, a sentence each: documents that are cut short or left out, passes,
  // what stands between documents.
  std::vector<std::string> notes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bitmill
