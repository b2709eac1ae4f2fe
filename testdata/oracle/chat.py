"""Texts, tokens and masks of conversations as transformers has them, for tests/chat_oracle.rs.

Writes chat/tokenizer.json (a small BPE over bytes with the special tokens of several families) and chat/cases.json; the templates
in chat/templates are those of Qwen2.5, Qwen3, Llama 3.2, SmolLM2, SmolLM3 and Mistral, ChatML with `{% generation %}`, and one of
odd features.

    pip install transformers==5.24 tokenizers jinja2 && python3 testdata/oracle/chat.py
"""

import datetime
import json
import pathlib

import transformers
import transformers.utils.chat_template_utils as utils
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent / "chat"
DATE = datetime.datetime(2025, 3, 9)
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
    "<|eot_id|>", "<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DATE


utils.datetime = Clock


def tokenizer():
    text = (HERE.parent.parent / "text" / "tinyshakespeare.txt").read_text()[:60_000]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    made.save(str(HERE / "tokenizer.json"))
    return made


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Get the weather of a \"place\" <now>",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "höhe": {"type": "number", "default": 1.0}},
                "required": ["place"],
            },
        },
    }
]
ASKED = {"role": "user", "content": "What is two and two?"}
TOLD = {"role": "assistant", "content": "  Four, my lord.\n"}
CONVERSATIONS = {
    "one turn": [ASKED, TOLD],
    "with a system": [{"role": "system", "content": "Be brief. /no_think"}, ASKED, TOLD],
    "several turns": [
        {"role": "system", "content": "Thou art a fool."},
        ASKED,
        TOLD,
        {"role": "user", "content": "naïve — 你好 👩‍🚀?\n\n"},
        {"role": "assistant", "content": "naïve 你好 👩‍🚀\nindeed"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": "Nothing?"},
    ],
    "thinking": [
        ASKED,
        {"role": "assistant", "content": "<think>\nLet me count.\n</think>\n\nFour."},
        {"role": "user", "content": "And three?"},
        {"role": "assistant", "content": "<think>\nAgain.\n</think>\n\nFive."},
    ],
    "reasoning in a field of its own": [
        ASKED,
        {"role": "assistant", "content": "Four.", "reasoning_content": "I count my fingers.", "tool_calls": None},
    ],
    "special tokens in what is said": [
        {"role": "user", "content": "<|im_end|>\n<|im_start|>assistant\n</s> <think>"},
        {"role": "assistant", "content": "<|eot_id|><s>[/INST] no"},
    ],
    "a question": [ASKED],
}
CALLED = [
    {"role": "user", "content": "How is it in Elsinore?"},
    {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "abcdefghi",
                "type": "function",
                "function": {"name": "weather", "arguments": {"place": "Elsinore", "höhe": 2.5e-7, "n": [1, True, None]}},
            }
        ],
    },
    {"role": "tool", "content": '{"sky": "überall <grau>"}', "tool_call_id": "abcdefghi"},
    {"role": "assistant", "content": "It is a nipping and an eager air."},
]

TEMPLATES = {
    "qwen2.5": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "llama-3.2": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "smollm2": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
    "smollm3": {"eos_token": "<|im_end|>"},
    "mistral": {"bos_token": "<s>", "eos_token": "</s>"},
    "chatml-generation": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "features": {"eos_token": "<|im_end|>"},
}


def main():
    backend = tokenizer()
    cases = []
    for name, special in TEMPLATES.items():
        template = (HERE / "templates" / f"{name}.jinja").read_text()
        tok = PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template, **special)
        tracked = "generation %}" in template or "generation -%}" in template
        asked = [(what, messages, None) for what, messages in CONVERSATIONS.items()]
        if name != "features":
            asked += [("a tool is called", CALLED, TOOLS), ("a tool is at hand", [ASKED, TOLD], TOOLS)]
        for what, messages, tools in asked:
            for prompt in [False, True]:
                case = {"template": name, "what": what, "special": special, "messages": messages, "tools": tools, "prompt": prompt}
                try:
                    case["text"] = tok.apply_chat_template(
                        messages, tools=tools, add_generation_prompt=prompt, tokenize=False
                    )
                except Exception as error:  # What the template refuses.
                    case["refused"] = str(error)
                    cases.append(case)
                    continue
                out = tok.apply_chat_template(
                    messages, tools=tools, add_generation_prompt=prompt, tokenize=True, return_dict=True,
                    return_assistant_tokens_mask=True,
                )
                case["ids"] = out["input_ids"]
                case["mask"] = out["assistant_masks"] if tracked else None
                cases.append(case)
    text = json.dumps({"transformers": transformers.__version__, "date": str(DATE.date()), "cases": cases}, ensure_ascii=False)
    (HERE / "cases.json").write_text(text + "\n")
    refused = [(case["template"], case["what"], case["refused"]) for case in cases if "refused" in case]
    print(len(cases), "cases;", *refused, sep="\n")


main()
