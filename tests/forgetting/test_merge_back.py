"""Which share of the change is kept, and that a scaled adapter changes the weights by exactly that share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from twofold.errors import StoreError
from twofold.forgetting.merge_back import Limits, ScalePoint, choose, reaches, smallest
from twofold.forgetting.suite import Outcome
from twofold.models.adapter_files import combined, scaled, why_not_scalable
from twofold.tuning.finalize import best_of

LIMITS = Limits(keep=0.98, drop=0.005)


def point(coefficient: float, dev: float, drop: float, *, gate: Outcome = "passed", se: float = 0.0) -> ScalePoint:
    return ScalePoint(coefficient=coefficient, dev=dev, drop=drop, gate=gate, se=se)


def chosen(points: list[ScalePoint], *, base: float) -> tuple[ScalePoint, str]:
    """The choice, where a difference of two points is as uncertain as the more uncertain of both."""
    return choose(points, base=base, limits=LIMITS, apart=lambda one, two: max(one.se, two.se))


def test_a_share_that_reaches_both_limits_is_kept() -> None:
    points = [point(1, 0.50, 0.2, gate="failed"), point(0.8, 0.497, 0.004), point(0.6, 0.45, 0.0)]
    best, because = chosen(points, base=0.1)
    assert best.coefficient == 0.8
    assert "99%" in because


def test_without_such_a_share_the_best_that_passes_the_gate() -> None:
    points = [point(1, 0.50, 0.2, gate="failed"), point(0.8, 0.47, 0.1, gate="failed"), point(0.6, 0.44, 0.02)]
    best, because = chosen(points, base=0.1)
    assert best.coefficient == 0.6
    assert because.startswith("no share keeps 98%")


def test_where_nothing_passes_the_weights_stay() -> None:
    points = [point(1, 0.5, 0.3, gate="failed"), point(0.5, 0.4, 0.2, gate="failed")]
    best, because = chosen(points, base=0.1)
    assert best.coefficient == 1
    assert "no share passes" in because


def test_within_one_standard_error_of_the_best_the_smaller_change_is_kept() -> None:
    points = [point(1, 0.50, 0.2, gate="failed"), point(0.8, 0.47, 0.02, se=0.03), point(0.6, 0.45, 0.01, se=0.03)]
    assert chosen(points, base=0.1)[0].coefficient == 0.6
    apart = [*points[:2], point(0.6, 0.43, 0.01, se=0.03)]
    assert chosen(apart, base=0.1)[0].coefficient == 0.8
    near = [point(1, 0.50, 0.2, gate="failed"), point(0.8, 0.48, 0.004, se=0.03)]
    assert chosen(near, base=0.1)[1].startswith("the share 0.8"), "as good as all of the change"


def test_an_open_gate_comes_after_one_that_passes_and_before_one_that_fails() -> None:
    points = [point(1, 0.5, 0.3, gate="failed"), point(0.8, 0.49, 0.05, gate="open"), point(0.2, 0.2, 0.01)]
    assert chosen(points, base=0.1)[0].coefficient == 0.2
    best, because = chosen(points[:2], base=0.1)
    assert best.coefficient == 0.8
    assert "whose gate is open" in because


measured = some.builds(
    point,
    some.sampled_from([0.2, 0.4, 0.6, 0.8]),
    some.floats(0, 1),
    some.floats(-0.1, 0.5),
    gate=some.sampled_from(["passed", "open", "failed"]),
    se=some.floats(0, 0.2),
)


@given(some.lists(measured, max_size=5), some.floats(0, 1), some.floats(0, 1), some.floats(-0.1, 0.5))
def test_a_share_that_the_gate_judges_worse_is_never_kept_unless_it_reaches_both_limits(
    points: list[ScalePoint], base: float, full: float, drop: float
) -> None:
    whole = [point(1, full, drop, gate="passed" if drop < 0.03 else "failed"), *points]
    best, _ = chosen(whole, base=base)
    reaching = [p for p in whole if reaches(p, base=base, full=full, limits=LIMITS)]
    rank = ("passed", "open", "failed")
    assert best in reaching if reaching else rank.index(best.gate) == min(rank.index(p.gate) for p in whole)


@given(some.lists(measured, min_size=1, max_size=5), some.floats(0, 0.5), some.floats(0, 0.5))
def test_more_uncertainty_never_keeps_more_of_the_change(points: list[ScalePoint], one: float, two: float) -> None:
    low, high = sorted((one, two))
    less, more = smallest(points, lambda *_: low), smallest(points, lambda *_: high)
    assert more.coefficient <= less.coefficient
    assert smallest(points, lambda *_: 0.0).dev == max(p.dev for p in points)
    assert smallest(points, lambda *_: 1.0).coefficient == min(p.coefficient for p in points)


def test_shares_are_compared_with_the_best_of_them_and_not_with_the_whole_change() -> None:
    points = [point(1, 0.60, 0.1), point(0.5, 0.62, 0.01, se=0.10), point(0.25, 0.53, 0.0, se=0.10)]
    apart = {frozenset((0.5, 0.25)): 0.01, frozenset((1, 0.5)): 0.10}

    def between(one: ScalePoint, two: ScalePoint) -> float:
        return apart.get(frozenset((one.coefficient, two.coefficient)), 0.0)

    assert smallest(points, between).coefficient == 0.5, "0.25 is surely worse than 0.5, however unlike both are to 1"
    assert smallest([point(1, 0.62, 0.1), point(0.5, 0.60, 0.1)], between).coefficient == 0.5


# ---------------------------------------------------------------- methods


def method(name: str, right: int, trainable: int | None, *, of: int = 40) -> dict[str, Any]:
    """A method's report whose first answers are right."""
    scores = [1.0] * right + [0.0] * (of - right)
    dev = {"score": {"mean": right / of}, "scores": scores, "groups": list(range(of))}
    return {"name": name, "gate": None, "dev_score": dev, **({} if trainable is None else {"trainable": trainable})}


def test_of_methods_within_one_standard_error_the_one_with_fewest_trained_parameters_is_carried() -> None:
    large, small, bad = method("large", 30, 9000), method("small", 29, 10), method("bad", 10, 1)
    assert best_of([large, small, bad], enforce=False)["name"] == "small"
    assert best_of([large, bad], enforce=False)["name"] == "large"
    assert best_of([small, method("far better", 36, 9000)], enforce=False)["name"] == "far better"


def test_a_method_that_does_not_say_how_much_it_trains_is_not_taken_for_the_smallest() -> None:
    assert best_of([method("large", 30, 9000), method("unknown", 29, None)], enforce=False)["name"] == "large"
    assert best_of([method("large", 20, 9000), method("unknown", 30, None)], enforce=False)["name"] == "unknown"


# ---------------------------------------------------------------- the files


def adapter(folder: Path, **more: object) -> Path:
    """A LoRA adapter with one layer of rank 2 and one of rank 4 by pattern."""
    from twofold.models.tensors import write_safetensors

    folder.mkdir()
    rng = np.random.default_rng(0)
    tensors = []
    for layer, rank in (("q_proj", 2), ("v_proj", 4)):
        name = f"base_model.model.model.layers.0.self_attn.{layer}"
        tensors.append((f"{name}.lora_A.weight", "", rng.normal(size=(rank, 8)).astype(np.float32)))
        tensors.append((f"{name}.lora_B.weight", "", rng.normal(size=(6, rank)).astype(np.float32)))
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    recipe = {
        **{"peft_type": "LORA", "r": 2, "lora_alpha": 8.0, "bias": "none", "use_rslora": True},
        **{"rank_pattern": {"v_proj": 4}, "alpha_pattern": {"v_proj": 5.0}},
    }
    (folder / "adapter_config.json").write_text(json.dumps({**recipe, **more}))
    (folder / "manifest.json").write_text("{}")
    return folder


def change(folder: Path, layer: str) -> np.ndarray:
    from twofold.generation.export.merging import delta
    from twofold.models.tensors import Weights

    recipe = json.loads((folder / "adapter_config.json").read_text())
    tuned = Weights(folder / "adapter_model.safetensors")
    return delta(tuned, f"base_model.model.model.layers.0.self_attn.{layer}", recipe)


def test_a_share_changes_every_layer_by_that_share(tmp_path: Path) -> None:
    whole = adapter(tmp_path / "whole")
    scaled(whole, 0.6, tmp_path / "share")
    for layer in ("q_proj", "v_proj"):
        np.testing.assert_allclose(change(tmp_path / "share", layer), 0.6 * change(whole, layer), rtol=1e-6)
    assert json.loads((whole / "adapter_config.json").read_text())["lora_alpha"] == 8.0
    assert not (tmp_path / "share" / "manifest.json").exists()


@pytest.mark.parametrize("more", [{"use_dora": True}, {"peft_type": "IA3"}, {"modules_to_save": ["head"]}])
def test_what_is_no_difference_of_weights_is_not_scaled(tmp_path: Path, more: dict[str, object]) -> None:
    whole = adapter(tmp_path / "whole", **more)
    assert why_not_scalable(whole)
    with pytest.raises(StoreError, match="no share"):
        scaled(whole, 0.5, tmp_path / "share")
    scaled(whole, 1, tmp_path / "copy")
    assert (tmp_path / "copy" / "adapter_model.safetensors").is_file()


def test_several_adapters_in_one_change_the_weights_by_the_weighted_sum(tmp_path: Path) -> None:
    one, two = adapter(tmp_path / "one"), adapter(tmp_path / "two", lora_alpha=3.0, use_rslora=False)
    combined([(one, 0.7), (two, -0.4)], tmp_path / "both")
    for layer in ("q_proj", "v_proj"):
        wanted = 0.7 * change(one, layer) - 0.4 * change(two, layer)
        np.testing.assert_allclose(change(tmp_path / "both", layer), wanted, rtol=1e-5, atol=1e-6)
    scaled(tmp_path / "both", 0.5, tmp_path / "half")
    half, whole = change(tmp_path / "half", "v_proj"), change(tmp_path / "both", "v_proj")
    np.testing.assert_allclose(half, 0.5 * whole, rtol=1e-6)
