"""What an export of members tells of each, and what other systems call it."""

from typing import Final, Literal, NamedTuple

Profile = Literal["generic", "salesforce", "hubspot"]
"""For whom an export is made."""

Key = Literal["external_id", "member"]
"""By what the other system knows a member."""

Kind = Literal["text", "number", "date"]


class MemberColumn(NamedTuple):
    """A column. Its expression is SQL over members.sql; NULL where there is no value."""

    name: str
    kind: Kind
    expression: str

    def header(self, profile: Profile) -> str:
        """Its name in a system: an API name of Salesforce, a property of HubSpot."""
        match profile:
            case "generic":
                return self.name
            case "salesforce":
                return f"Loyalty_{self.name.title()}__c"
            case "hubspot":
                return f"loyalty_{self.name}"


KEYS: Final[dict[Key, MemberColumn]] = {
    "external_id": MemberColumn("external_id", "text", "i.value"),
    "member": MemberColumn("member", "text", "'members/' || b.member_id"),
}

COLUMNS: Final = (
    MemberColumn("program", "text", "b.program"),
    MemberColumn("tier", "text", "nullif(t.tier, '')"),
    MemberColumn("tier_since", "date", "t.since"),
    MemberColumn("available_points", "number", "c.active_points - b.owed_points"),
    MemberColumn("pending_points", "number", "c.pending_points"),
    MemberColumn("held_points", "number", "c.held_points"),
    MemberColumn("next_expiry_points", "number", "c.next_expiry_points"),
    MemberColumn("next_expiry", "date", "c.next_expires_at"),
    MemberColumn("enrolled", "date", "s.enrolled_at"),
    MemberColumn("sales", "number", "s.sales"),
    MemberColumn("returns", "number", "s.returns"),
    MemberColumn("spent_minor", "number", "s.net_minor"),
    MemberColumn("first_sale", "date", "s.first_sold_at"),
    MemberColumn("last_sale", "date", "s.last_sold_at"),
    MemberColumn("favourite_store", "text", "f.store"),
    MemberColumn("favourite_channel", "text", "f.channel"),
)
"""Behind the key. What is added here is in every profile."""

CONTACT_BY: Final = MemberColumn("contact_by", "text", "w.contact_by")
"""Behind them in an export for a purpose: the ways of contact that the member has consented to for it, with ";" between
them, as both systems take several values of one field.
"""
