"""Task files of lm-evaluation-harness for JSON lines as bitmill's `eval --tasks` takes them."""

_TEMPLATE = """task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: {output}
{texts}
metric_list:
"""
_METRIC = "  - metric: {}\n    aggregation: {}\n    higher_is_better: true\n"
_KINDS = {
    "choices": ("multiple_choice",
                "doc_to_text: query\ndoc_to_choice: choices\ndoc_to_target: gold",
                [("acc", "mean"), ("acc_norm", "mean")]),
    # The same with "\nAnswer:" between query and answers.
    "cue": ("multiple_choice",
            'doc_to_text: "{{query.rstrip()}}\\nAnswer:"\ndoc_to_choice: choices\n'
            "doc_to_target: gold",
            [("acc", "mean"), ("acc_norm", "mean")]),
    "contexts": ("multiple_choice",
                 "doc_to_text: gold\ndoc_to_choice: context_options\ndoc_to_target: continuation",
                 [("acc", "mean")]),
    "continuation": ("loglikelihood",
                     'doc_to_text: context\ndoc_to_target: "{{\' \' + continuation}}"',
                     [("perplexity", "perplexity"), ("acc", "mean")]),
}
KINDS = tuple(_KINDS)


def write_config(folder, task, kind, file):
    """Writes folder/TASK.yaml, with which the harness scores `file`, of one of KINDS, as `task`."""
    output, texts, metrics = _KINDS[kind]
    config = _TEMPLATE.format(task=task, file=file, output=output, texts=texts)
    config += "".join(_METRIC.format(*metric) for metric in metrics)
    (folder / f"{task}.yaml").write_text(config)
