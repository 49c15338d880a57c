"""Criteria: the expression of a segment, compiled, and what it has to know of a member."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import cel
from loyalty.v1.segment_pb2 import Measure, Segment
from loyalty.v1.segment_reads_pb2 import FactValue, SegmentClause

from ledger.domain.rules.expression import (
    ATTRIBUTE,
    ERROR_CHARACTERS_MAX,
    EVALUATION_ERRORS,
    OF_PERSON,
    attributes_named,
    compile_text,
)
from ledger.domain.segments.clauses import Clause, clause_of

MEASURE_FIELDS: Final = ("sales", "units", "spent_minor", "average_minor", "share_percent", "last_days")
"""What an expression can ask of a measure."""

STEPS_MAX: Final = 400
"""What evaluating an expression may cost for each member: there may be a million of them."""

PERSONAL: Final = "attributes"
"""The fact that is personal data."""

_MENTION: Final = re.compile(r"\battributes\b")
_SOUGHT: Final = re.compile(r"""(?:^|[^+\s])\s*(["'])(\w*)\1\s+in\s+attributes\b(?!\s*[.\[])""")

TIMELESS: Final = frozenset(
    {
        "attributes", "average_basket_minor", "categories", "channels", "enrolled_channel", "enrolled_store",
        "favourite_category", "favourite_channel", "favourite_product", "favourite_store", "feedback_given",
        "last_nps", "last_rating", "returns", "sales", "spent_minor", "stores", "units", "visits",
    }
)  # fmt: skip
"""Facts that stay as they are while nothing happens to the member. Others may change as time passes, or by a fit."""

FITTED: Final = frozenset(
    {
        "churn_risk", "expected_spend_minor", "probability_active", "rfm_frequency", "rfm_group", "rfm_monetary",
        "rfm_recency", "value_minor",
    }
)  # fmt: skip
"""Facts that change when the program's value models are fitted, and never else."""

_SAMPLES: Final[Mapping[str, Any]] = {"number": 1, "text": "", "flag": False, "list": []}
_SAMPLE_ENTRY: Final = {"sales": 1, "spent_minor": 1, "share_percent": 1}
_SAMPLE_MEASURE: Final = {
    "sales": 1, "units": 1, "spent_minor": 1, "average_minor": 1, "share_percent": 1, "last_days": 1,
}  # fmt: skip


class Criteria:
    """An expression over facts, of the kinds that `kinds` says, and over the measures of its segment."""

    def __init__(self, segment: Segment, kinds: Mapping[str, str]) -> None:
        """Raises ValueError where the expression cannot be compiled or names what there is not."""
        self._segment = segment
        self._text = segment.expression
        self._kinds = kinds
        measures = {measure.measure_id: measure for measure in segment.measures}
        self._compiled = compile_text(self._text, kinds.keys() | measures.keys())
        if self._compiled.steps > STEPS_MAX:
            raise ValueError(f"is too costly: {self._compiled.steps} steps for each member, {STEPS_MAX} at most")
        self.facts: frozenset[str] = self._compiled.names & kinds.keys()
        """The facts that it names."""
        self.measures: Mapping[str, Measure] = {
            name: measure for name, measure in measures.items() if name in self._compiled.names
        }
        """The measures that it names."""

    @cached_property
    def clause(self) -> Clause:
        """The expression in its parts."""
        return clause_of(self._text)

    @cached_property
    def leaves(self) -> Mapping[str, "Criteria"]:
        """The clauses that have no parts, by their texts, each with what it names itself."""
        measures = self._segment.measures
        return {
            leaf.text: Criteria(Segment(expression=leaf.text, measures=measures), self._kinds)
            for leaf in self.clause.leaves()
        }

    @property
    def attributes(self) -> list[str]:
        """The attributes of the member that it names, each once."""
        return list(dict.fromkeys(self._attributes)) if PERSONAL in self.facts else []

    @property
    def names_attributes(self) -> bool:
        """Whether it asks for attributes by their names alone, so that it can depend on no others."""
        if PERSONAL not in self.facts:
            return True
        asked = [one.span() for form in (ATTRIBUTE, _SOUGHT) for one in form.finditer(self._text)]
        mentions = [mention.start() for mention in _MENTION.finditer(self._text)]
        return all(any(start <= mention < end for start, end in asked) for mention in mentions)

    @property
    def _attributes(self) -> list[str]:
        """The attributes that it names, each time."""
        return attributes_named(self._text) + [name for _, name in _SOUGHT.findall(self._text)]

    @property
    def is_timed(self) -> bool:
        """Whether a member may enter or leave without anything happening but time."""
        if self.facts - TIMELESS - FITTED:
            return True
        return any(
            measure.WhichOneof("period") == "last_days" or "last_days" in self.fields(name)
            for name, measure in self.measures.items()
        )

    @property
    def is_fitted(self) -> bool:
        """Whether a member may enter or leave because the program's value models are fitted."""
        return bool(self.facts & FITTED)

    def fields(self, measure_id: str) -> tuple[str, ...]:
        """What the expression asks of a measure."""
        uses = re.findall(rf"(?<![.\w]){measure_id}\b(?:\s*\.\s*(\w+))?", self._text)
        if any(use not in MEASURE_FIELDS for use in uses):  # asked for otherwise, or within a text
            return MEASURE_FIELDS
        return tuple(field for field in MEASURE_FIELDS if field in uses)

    def problem(self) -> str | None:
        """Why it could hold for nobody, found by evaluating each of its clauses for a sample; None where it could."""
        for text, leaf in self.leaves.items():
            try:
                leaf.holds(self._sample)
            except KeyError as error:
                return f"there is no field {error} in {text}"
            except EVALUATION_ERRORS as error:
                if PERSONAL not in leaf.facts:  # whose values are of any type
                    return f"fails in {text}: {error}"[:ERROR_CHARACTERS_MAX]
        return None

    def holds(self, values: dict[str, Any]) -> bool:
        """Whether it is true of a member. Raises one of EVALUATION_ERRORS where it cannot be evaluated."""
        return self._evaluate(self._compiled.program, values)

    def explain(self, values: dict[str, Any], shown: Collection[str]) -> SegmentClause:
        """What each part of it comes to, with the values of what it names. Of attributes those are `shown`."""
        return self._explain(self.clause, values, shown)

    def _explain(self, clause: Clause, values: dict[str, Any], shown: Collection[str]) -> SegmentClause:
        compiled = compile_text(clause.text, self._names)
        explained = SegmentClause(expression=clause.text, operator=clause.operator)
        try:
            explained.holds = self._evaluate(compiled.program, values)
        except EVALUATION_ERRORS as error:
            explained.error = error_text(error, compiled.names)
        for part in clause.clauses:
            explained.clauses.append(self._explain(part, values, shown))
        if not clause.clauses:
            explained.facts.extend(self.leaves[clause.text].named(values, shown))
        return explained

    def named(self, values: Mapping[str, Any], shown: Collection[str]) -> Iterator[FactValue]:
        """What it names, with the values as far as they may be shown."""
        for name in sorted(self.facts | self.measures.keys()):
            value = values.get(name)
            if name in self.measures:
                for field in self.fields(name):
                    yield FactValue(name=f"{name}.{field}", value=json.dumps(value[field]) if value else "")
            elif name == PERSONAL:
                for attribute in self.attributes:
                    one = _as_json((value or {}).get(attribute)) if attribute in shown else ""
                    yield FactValue(name=f"{PERSONAL}.{attribute}", value=one)
            else:
                yield FactValue(name=name, value=_as_json(value))

    def _evaluate(self, program: cel.Program, values: dict[str, Any]) -> bool:
        found = program.execute(values)
        if not isinstance(found, bool):
            raise TypeError(f"it is a {type(found).__name__}, neither true nor false")
        return found

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(self._kinds) | self.measures.keys()

    @cached_property
    def _sample(self) -> dict[str, Any]:
        """A member who has some of everything, and each entry of a map that the expression names."""
        sample = {name: _SAMPLES[self._kinds[name]] for name in self.facts if self._kinds[name] != "map"}
        for name in self.facts - sample.keys():
            keys = re.findall(rf"""\b{name}\s*(?:\.\s*(\w+)|\[\s*["']([^"']*)["'])""", self._text)
            entry: Any = "1" if name == PERSONAL else _SAMPLE_ENTRY
            sample[name] = {field or key: entry for field, key in keys}
        return sample | dict.fromkeys(self.measures, _SAMPLE_MEASURE)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def error_text(error: Exception, names: Collection[str]) -> str:
    """Why an expression that names some facts cannot be evaluated. What is personal data is not told."""
    if PERSONAL in names:
        return OF_PERSON
    return f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX]
