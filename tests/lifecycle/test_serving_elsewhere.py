"""Scripts by which other engines serve a model, run by the shell with a program that shows its words."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from twofold.cli.main import main
from twofold.errors import ModelError
from twofold.lifecycle.serving_elsewhere import (
    LLAMA_CPP,
    SCRIPT,
    VLLM,
    ServedForm,
    UntunedModel,
    folders,
    form_for,
    script,
    settings,
)

BASE = UntunedModel(name="smol", path=Path("/models/smol 1"), dtype="f32", context=8192)


def words(folder: Path, text: str, *more: str) -> list[str]:
    """The words that the shell hands to the engine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCRIPT).write_text(text)
    shows = {"VLLM": "printf %s\\n", "LLAMA_SERVER": "printf %s\\n"}
    command = ["sh", str(folder / SCRIPT), *more]
    done = subprocess.run(command, env={**os.environ, **shows}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def exported(target: Path, id: str, *, rank: int, weights: str = "w") -> None:
    folder = target / id / "peft"
    folder.mkdir(parents=True)
    (folder / "export.json").write_text(
        json.dumps({"id": f"model:{id}", "base": {"model": "smol", "weights": weights}})
    )
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank}))


def test_vllm_serves_every_adapter_of_the_folder_by_its_id(tmp_path: Path) -> None:
    target = tmp_path / "with blanks"
    exported(target, "aa", rank=4)
    exported(target, "bb", rank=17)
    shown = words(target, script(VLLM, BASE, folders(target, weights="w")), "--port", "8001")
    assert shown[:3] == ["/models/smol 1", "--served-model-name", "smol"]
    assert shown[-2:] == ["--port", "8001"]
    for pair in (
        ["--dtype", "float32"],
        ["--max-model-len", "8192"],
        ["--generation-config", "vllm"],
        ["--max-lora-rank", "32"],
        ["--max-loras", "2"],
        ["--chat-template", f"{target}/chat_template.jinja"],
    ):
        assert pair == shown[shown.index(pair[0]) :][:2]
    first = shown.index("--lora-modules")
    assert shown[first + 1 : first + 3] == [f"model:aa={target}/aa/peft", f"model:bb={target}/bb/peft"]


def test_an_adapter_on_other_weights_is_refused(tmp_path: Path) -> None:
    exported(tmp_path, "aa", rank=4, weights="other")
    with pytest.raises(ModelError, match=r"aa/peft was tuned on other weights, of 'smol'"):
        folders(tmp_path, weights="w")


def test_a_whole_model_has_its_id_as_its_name(tmp_path: Path) -> None:
    merged = ServedForm(id="model:aa", form="safetensors", place="aa/safetensors")
    shown = words(tmp_path, script(VLLM, BASE, [merged]))
    assert shown[:3] == [f"{tmp_path}/aa/safetensors", "--served-model-name", "model:aa"]
    assert "--enable-lora" not in shown
    file = ServedForm(id="model:aa", form="gguf", place="aa/gguf/model-f16.gguf")
    shown = words(tmp_path, script(LLAMA_CPP, BASE, [file]))
    assert shown[:4] == ["--model", f"{tmp_path}/aa/gguf/model-f16.gguf", "--alias", "model:aa"]
    assert shown[shown.index("--ctx-size") + 1] == str(8192 * int(shown[shown.index("--parallel") + 1]))


@pytest.mark.parametrize(
    ("recipe", "form"),
    [
        ({"peft_type": "LORA", "r": 16, "use_rslora": True}, "peft"),
        ({"peft_type": "LORA", "r": 16, "use_dora": True}, "safetensors"),
        ({"peft_type": "LORA", "r": 1024}, "safetensors"),
        ({"peft_type": "LORA", "r": 16, "rank_pattern": {"q_proj": 4}}, "safetensors"),
        ({"peft_type": "IA3"}, "safetensors"),
    ],
)
def test_what_vllm_cannot_hold_as_an_adapter_is_merged(tmp_path: Path, recipe: dict[str, Any], form: str) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(recipe))
    assert form_for(VLLM, tmp_path) == form
    assert form_for(LLAMA_CPP, tmp_path) == "gguf"


def test_the_settings_are_those_of_a_project(tmp_path: Path) -> None:
    base = UntunedModel(name="smol", path=tmp_path, dtype="bf16", context=512, stop=("\n\n",))
    read = tomllib.loads(settings(VLLM, base))["generation"]["generator"]
    assert read["name"] == "openai"
    assert read["options"] == {
        "base_url": "http://127.0.0.1:8000/v1",
        "model": "smol",
        "weights": "smol",
        "extra": {"stop": ["\n\n"]},
    }


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--for", "tgi"], "there is no script for the engine 'tgi'"),
        ([], "no model is named"),
    ],
)
def test_bad_options_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], complaint: str
) -> None:
    (tmp_path / "twofold.toml").write_text("[documents]\npaths = []\n[examples]\npaths = []\n")
    assert main(["models", "export", "-C", str(tmp_path), "--to", str(tmp_path / "out"), *more]) != 0
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_untuned_model_of_a_project_is_served_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "twofold.toml").write_text("[documents]\npaths = []\n[examples]\npaths = []\n")
    out = tmp_path / "out"
    assert main(["models", "export", "-C", str(tmp_path), "--to", str(out), "--for", "vllm", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["id"], report["exports"]) == ("", [])
    text = Path(report["serving"]["script"]).read_text()
    assert "--lora-modules" not in text
    assert "--served-model-name smollm2-135m-instruct" in text
    assert "<|im_start|>" in (out / "chat_template.jinja").read_text()
