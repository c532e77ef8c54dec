"""What transformers writes greedily, in float32."""

import torch
import transformers


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


def greedy(model, ids, tokens, near_tie):
    """Up to `tokens` new ids; ends before the first whose logit is less than `near_tie` above the
    second largest."""
    new, past, feed = [], None, ids
    with torch.no_grad():
        while len(new) < tokens:
            out = model(torch.tensor([feed]), past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1]
            first, second = logits.topk(2).values.tolist()
            if first - second < near_tie:
                break
            new.append(logits.argmax().item())
            feed = new[-1:]
    return new
