"""What the attributes of a program must be."""

import re
from typing import Final

from loyalty.v1.attribute_pb2 import AttributeDefinition, AttributeType
from loyalty.v1.program_pb2 import Program

from ledger.domain.attribute import canonical
from ledger.domain.publish_fields import Problems, check_count, check_enum, check_text

ATTRIBUTES_MAX: Final = 200
"""Attributes of a program."""

ALLOWED_VALUES_MAX: Final = 100
"""Values of which an attribute takes one."""

_ID: Final = re.compile("[a-z][a-z0-9_]{0,62}").fullmatch
_TYPES: Final = frozenset(AttributeType.values()) - {0}


def check_attributes(definition: Program, found: Problems) -> None:
    """The attributes that CRM systems bring."""
    check_count(definition.attributes, ATTRIBUTES_MAX, "attributes", found)
    seen: set[str] = set()
    for index, attribute in enumerate(definition.attributes[:ATTRIBUTES_MAX]):
        path = f"attributes[{index}]"
        if not _ID(attribute.attribute_id):
            allowed = "must be 1 to 63 lower-case letters, digits and underscores, a letter first"
            found.append((f"{path}.attribute_id", allowed))
        elif attribute.attribute_id in seen:
            found.append((f"{path}.attribute_id", "must be unique in the program"))
        seen.add(attribute.attribute_id)
        check_text(attribute.display_name, f"{path}.display_name", found)
        check_enum(attribute.type, _TYPES, f"{path}.type", found)
        _allowed(attribute, path, found)


def _allowed(attribute: AttributeDefinition, path: str, found: Problems) -> None:
    check_count(attribute.allowed_values, ALLOWED_VALUES_MAX, f"{path}.allowed_values", found)
    kind = attribute.type if attribute.type in _TYPES else AttributeType.ATTRIBUTE_TYPE_TEXT
    open_to_all = AttributeDefinition(type=kind)
    seen: set[str] = set()
    for index, value in enumerate(attribute.allowed_values[:ALLOWED_VALUES_MAX]):
        try:
            form = canonical(open_to_all, value)
        except ValueError as error:
            found.append((f"{path}.allowed_values[{index}]", str(error)))
            continue
        if form != value:
            found.append((f"{path}.allowed_values[{index}]", f"must be written as {form}"))
        elif value in seen:
            found.append((f"{path}.allowed_values[{index}]", "is named twice"))
        seen.add(value)
