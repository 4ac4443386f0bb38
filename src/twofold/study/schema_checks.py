"""Right answers that a schema does not let an arm write."""

from __future__ import annotations

from collections.abc import Sequence

from twofold.assembly.systems import Systems
from twofold.errors import ConfigError
from twofold.examples import answer_schemas
from twofold.examples.splitting import Splits
from twofold.files.reading import counted, excerpt
from twofold.types import Arm, Example


def outside_schemas(systems: Systems, splits: Splits, arms: Sequence[Arm], *, test: Sequence[Example]) -> list[str]:
    """Warnings of questions whose right answers an arm's schema does not let it write.

    Raises:
        ConfigError: it allows no right answer of the training examples, or cannot be inferred from them.
    """
    shaped = next((arm for arm in arms if arm.schema), None)
    if shaped is None:
        return _of_all_arms(systems.models.schema, test)
    if not splits.train and not systems.models.configured_schema:
        raise splits.lack("train", f"the schema of the arm {shaped.name} is inferred from those")
    # All arms with the part have one schema.
    schema = systems.schema(shaped, splits)
    # Without training examples a written schema is looked at beside the questions themselves.
    named, examples = ("training example", splits.train) if splits.train else ("test question", test)
    known = [example for example in examples if example.references]
    if known and len(answer_schemas.outside(schema, known)) == len(known):
        raise ConfigError(
            f"no answer of the {counted(len(known), named)} satisfies the schema of the arm {shaped.name}",
            cure="Correct [generation].schema, or remove it: it is then inferred from these answers.",
        )
    barred = answer_schemas.outside(schema, test)
    if not barred:
        return []
    first = barred[0]
    return [
        f"{counted(len(barred), 'question')} of {len(test)} {'has' if len(barred) == 1 else 'have'} right answers that "
        f"the schema of the arm {shaped.name} does not allow, such as {first.id}: "
        f"{excerpt(first.references[0], 60)!r}; it answers them wrong: add training "
        "examples with such answers, or write the schema ([generation].schema)"
    ]


def _of_all_arms(schema: str, test: Sequence[Example]) -> list[str]:
    """A warning where a schema that holds the answers of all arms allows no right answer; it refuses nothing.

    A metric of words may still find the answer in the JSON that the schema asks for.
    """
    known = [example for example in test if example.references]
    barred = answer_schemas.outside(schema, known)
    if not barred or len(barred) < len(known):
        return []
    return [
        f"none of the {counted(len(known), 'right answer')} of the test questions satisfies [generation].schema, which "
        f"holds every arm's answers, for example {excerpt(known[0].references[0], 60)!r} of {known[0].id}: correct the "
        "schema, or decide by a metric that finds the answer in its JSON"
    ]
