"""Programs as files: everything that is wrong is told at once, each with the file's line, the field and the reason."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from ledger import program_file
from ledger.program_diff import Difference, differences
from ledger.program_file import Problem, read_file, read_text
from ledger.sample_program import demo_program, sample_program

RIGHT = """\
# A small program.
name: programs/corner-shop
displayName: {en: Corner shop, hi: कोने की दुकान}
currency: NOK
time_zone: Europe/Oslo
default_region: NO
earning_rules:
  - rule_id: spend
    spend: {points: 1, perMinor: 1_000, excluding: {skus: [0001, 12:30, "x"]}}
    conditions:
      windows: [{starts_at: 2026-01-01T00:00:00, duration: 3600s}]
      expression: sale.total_minor > 1000
caps:
  - {cap_id: sale, per_sale: true, points: 100}
returns:
expiry: {never: {}}
"""


def told(text: str) -> list[tuple[int, str]]:
    """Line and field of each problem."""
    return [(problem.line, problem.field) for problem in read_text(text).problems]


def test_a_program_is_read() -> None:
    """Names in both forms, and values by what the field is: NO is Norway and 0001 a text."""
    definition, problems = read_text(RIGHT)
    assert problems == []
    assert (definition.name, definition.default_region) == ("programs/corner-shop", "NO")
    rule = definition.earning_rules[0]
    assert rule.spend.per_minor == 1_000
    assert list(rule.spend.excluding.skus) == ["0001", "12:30", "x"]
    assert rule.conditions.windows[0].starts_at == "2026-01-01T00:00:00"
    assert rule.conditions.windows[0].duration.seconds == 3_600
    assert definition.caps[0].per_sale
    assert definition.expiry.HasField("never")
    assert not definition.HasField("returns")


@pytest.mark.parametrize("snake", [True, False])
def test_json_is_read(*, snake: bool) -> None:
    """What protobuf writes as JSON comes back the same, indented by tabs too."""
    for definition in (sample_program(), demo_program()):
        text = MessageToJson(definition, preserving_proto_field_name=snake).replace("  ", "\t")
        assert read_text(text) == (definition, [])
    escaped = json.dumps({"name": "programs/p", "display_name": {"en": "a/b", "hi": "😀"}})
    assert read_text(escaped).definition.display_name.hi == "😀"


WRONG = """\
name: programs/Shop
currency: INR
time_zone: Asia/Kolkata
default_region: IN
earning_rules:
  - rule_id: spend
    spend:
      points: one
      per_minor: 0
      only: {kinds: [LINE_KIND_CAR]}
      per_major: 10
    visit: {points: 1}
    limits:
      - period: PERIOD_DAY
        times: 0
  - rule_id: spend
    spend: {points: 1, per_minor: 100}
    conditions:
      tiers: [platinum]
      expression: sale.total_minor >
      windows:
        - {starts_at: 2026-01-01T00:00:00, duration: 172800s, recurrence: FREQ=DAILY}
tiers:
  - {tier_id: bronze, threshold: 0}
  - {tier_id: silver, threshold: 0}
rewards:
  - {reward_id: mug, cost_points: -5, order_discount: {amount_minor: 100}}
hold_timeout: 30 minutes
currency: USD
promotionz: []
"""


def test_all_problems_at_once_with_their_lines() -> None:
    """Of form (unknown field, wrong type, twice) and of sense (limit of zero, CEL, overlap, unreachable tier)."""
    assert told(WRONG) == [
        (1, "name"),
        (8, "earning_rules[0].spend.points"),
        (9, "earning_rules[0].spend.per_minor"),
        (10, "earning_rules[0].spend.only.kinds[0]"),
        (11, "earning_rules[0].spend.per_major"),
        (12, "earning_rules[0].visit"),
        (14, "earning_rules[0].limits[0]"),
        (16, "earning_rules[1].rule_id"),
        (19, "earning_rules[1].conditions.tiers[0]"),
        (20, "earning_rules[1].conditions.expression"),
        (22, "earning_rules[1].conditions.windows[0].recurrence"),
        (25, "tiers[1].threshold"),
        (27, "rewards[0].cost_points"),
        (28, "hold_timeout"),
        (29, "currency"),
        (30, "promotionz"),
    ]


BAD_INPUT = """\
name: programs/shop
currency: INR
time_zone: Asia/Kolkata
default_region: IN
stores: [{store_id: s-1}]
earning_rules:
  - &again
    rule_id: spend
    spend: {points: 1, per_minor: 100}
    conditions:
      stores: [s-9]
      expression: sale.total >
    limits:
      - {period: PERIOD_DAY, times: 0}
  - rule_id: circle
    spend: {points: 1, per_minor: 100, only: &circle {skus: [a], kinds: *circle}}
promotions:
  - promotion_id: morning
    addition_points: 1
    exclusive_group: day
    conditions: {windows: [{starts_at: 2026-01-01T06:00:00, duration: 21600s, recurrence: FREQ=DAILY}]}
  - promotion_id: noon
    addition_points: 1
    exclusive_group: day
    conditions:
      windows:
        - {starts_at: 2026-01-02T11:00:00, duration: 7200s, recurrence: FREQ=DAILY}
tiers:
  - {tier_id: bronze, threshold: 0}
  - {tier_id: silver, threshold: 0}
caps:
  - {cap_id: none, per_sale: true, points: 0}
rewards:
  - {reward_id: mug, cost_points: -5, order_discount: {amount_minor: 100}}
  - {reward_id: tea, cost_points: 5, stock: -1, order_discount: {amount_minor: -100}}
expiry_notice_days: 366
"""


def test_each_kind_of_bad_input() -> None:
    """Cycle, unreachable tier, overlapping windows, unknown list, price below 0, limit of 0, CEL, over a limit."""
    found = {(problem.line, problem.field): problem.reason for problem in read_text(BAD_INPUT).problems}
    assert found.pop((12, "earning_rules[0].conditions.expression"))
    assert found == {
        (11, "earning_rules[0].conditions.stores[0]"): "is no store of the program",
        (14, "earning_rules[0].limits[0]"): "must have exactly one of times and points, more than 0",
        (16, "earning_rules[1].spend.only.kinds"): "must be a list",
        (27, "promotions[1].conditions.windows[0]"): (
            "overlaps with morning of its group: both are open at 2026-01-02T11:00:00"
        ),
        (30, "tiers[1].threshold"): ("must be more than the tier's before, or one of the two can never be reached"),
        (32, "caps[0].points"): "must be more than 0",
        (34, "rewards[0].cost_points"): "must be more than 0",
        (35, "rewards[1].stock"): "must be more than 0, or 0 for any number",
        (35, "rewards[1].order_discount.amount_minor"): "must be more than 0",
        (36, "expiry_notice_days"): "must be from 0 to 365",
    }


@pytest.mark.parametrize("text", ["stores: &a [*a]", "stores: &a [{store_id: *a}]", "returns: &a {claw_back: *a}"])
def test_a_value_within_itself_is_told(text: str) -> None:
    """A cycle of aliases ends where the field asks for something else."""
    found = read_text(RIGHT.replace("returns:", text)).problems
    assert [problem.line for problem in found] == [15]


def test_over_a_limit() -> None:
    """The line of the list that is too long."""
    caps = "".join(f"  - {{cap_id: c-{number}, per_sale: true, points: 1}}\n" for number in range(21))
    text = RIGHT.replace("  - {cap_id: sale, per_sale: true, points: 100}\n", caps)
    assert read_text(text).problems == [Problem(13, "caps", "must be at most 20; there are 21")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("per_minor: a", "must be a whole number of at most 64 bits"),
        ("per_minor: 1.5", "must be a whole number of at most 64 bits"),
        ("per_minor: 9223372036854775808", "must be a whole number of at most 64 bits"),
        ("carry_over: 1", "must be true or false"),
        ("per_minor: [1]", "must be a single value"),
        ("only: [a]", "must have fields of LineFilter"),
        ("only: {skus: a}", "must be a list"),
        ("basis: net", "must be one of BASIS_AFTER_DISCOUNT, BASIS_BEFORE_DISCOUNT,"),
        ("per_miner: 1", "is no field of SpendRule: do you mean per_minor?"),
        ("perMiner: 1", "is no field of SpendRule: do you mean per_minor?"),
        ("per_minor: 1, perMinor: 2", "is given a second time: keep one of them"),
    ],
)
def test_the_reason_says_what_is_allowed(text: str, reason: str) -> None:
    """In words for people who write programs."""
    found = read_text(RIGHT.replace("perMinor: 1_000, ", "").replace("points: 1,", f"points: 1, {text},"))
    assert any(problem.line == 9 and problem.reason.startswith(reason) for problem in found.problems), found.problems


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[]", 1),
        ("a: [1,\nb: 2\n", 3),
        ("name: x\n  y: z\n", 2),
        ("name: x\n\x07", 2),
        ("[" * 5_000, 1),
        ("name: a\n---\nname: b\n", 2),
    ],
)
def test_what_is_no_program_is_told_in_one_line(text: str, line: int) -> None:
    """No stack trace, whatever the file holds."""
    assert [problem[:2] for problem in read_text(text).problems] == [(line, "")]


def test_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value can be named and used again, but not so that a small file becomes a huge program."""
    again = RIGHT.replace("spend: {", "spend: &base {") + "promotions: []\n"
    assert read_text(again).problems == []
    monkeypatch.setattr(program_file, "VALUES_MAX", 1_000)
    level = "stores: &a [" + "{store_id: x}, " * 100 + "]\n"
    rules = "earning_rules:\n" + "  - &r {spend: {only: {skus: [" + "a, " * 100 + "]}}}\n" + "  - *r\n" * 100
    assert any(problem.reason.startswith("is one too many") for problem in read_text(level + rules).problems)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """UTF-8, with or without a mark, up to a size."""
    file = tmp_path / "program.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + RIGHT.encode())
    assert read_file(file).problems == []
    file.write_bytes(b"name: x\ncurrency: \xff")
    assert read_file(file).problems == [Problem(2, "", "must be text in UTF-8")]
    monkeypatch.setattr(program_file, "FILE_BYTES_MAX", 10)
    assert read_file(file).problems == [Problem(1, "", "must be at most 10 bytes")]


def test_differences() -> None:
    """Field by field, entries by their ids: moving one is no difference, version and etag are the server's."""
    before, after = sample_program(), sample_program()
    after.version, after.etag = 3, '"v3"'
    assert differences(before, after) == []
    after.rewards[0].cost_points = 600
    moved = after.rewards.pop(0)
    after.rewards.append(moved)
    after.ClearField("hold_timeout")
    after.earning_rules[0].spend.carry_over = True
    assert differences(before, after) == [
        Difference("rewards[ten-percent].cost_points", "500", "600"),
        Difference("hold_timeout", "1800s", ""),
        Difference("earning_rules[spend].spend.carry_over", "", "true"),
    ]
