"""The form that asks whose voice it is, who agreed, and to what."""

from __future__ import annotations

from datetime import date as Date

import ipywidgets as widgets

from course_utils.cloning import Consent, ConsentError

from ..fallback import HtmlFallback
from ..messages import SAID

WORDS = {
    "speaker": "whose voice it is",
    "given_by": "who agrees: the speaker, or who may speak for them",
    "purpose": "what for, for example “to hear myself in this course”",
    "date": "when",
}
"""The fields and what belongs into them."""
EXPLAINED = (
    "<b>Consent.</b> This voice belongs to a person, so nothing is made from it before all four lines say who agreed "
    "to what. What you save has these lines in a file beside it."
)


class ConsentForm(HtmlFallback, widgets.VBox):
    """Four fields; `.consent` is what they say, or an error that names those that are empty."""

    def __init__(self):
        looks = {"style": {"description_width": "80px"}, "layout": {"width": "min(560px, 96%)"}}

        def line(name: str) -> widgets.Text:
            field = widgets.Text(description=name.replace("_", " "), placeholder=WORDS[name], **looks)
            field.tooltip = WORDS[name]
            return field

        self.fields: dict[str, widgets.Widget] = {
            "speaker": line("speaker"),
            "given_by": line("given_by"),
            "purpose": line("purpose"),
            "date": widgets.DatePicker(
                value=Date.today(),
                description="date",
                tooltip=WORDS["date"],
                style=looks["style"],
                layout={"width": "240px"},
            ),
        }
        """The fields by name; `fields["speaker"].value = "Ann"` does what typing does."""
        words = widgets.HTML(f'<div style="line-height:1.4;color:{SAID};max-width:640px">{EXPLAINED}</div>')
        super().__init__(
            [words, *self.fields.values()],
            layout={
                "border": "1px solid #c77700",
                "padding": "8px 12px",
                "margin": "6px 2px",
                "width": "min(700px, 96%)",
            },
        )

    @property
    def consent(self) -> Consent:
        """What the fields say.

        Raises:
            ConsentError: a field is empty.
        """
        values = {name: field.value for name, field in self.fields.items()}
        values["date"] = values["date"].isoformat() if values["date"] else ""
        values = {name: value.strip() for name, value in values.items()}
        empty = [name.replace("_", " ") for name, value in values.items() if not value]
        if empty:
            raise ConsentError(
                f"nothing is made without consent: fill in {', '.join(empty)} in the form. If nobody can agree for this "
                "voice, choose a bundled one"
            )
        return Consent(**values)

    def fill(self, speaker: str, given_by: str, purpose: str, date: str | None = None) -> None:
        """Fill the form in, as typing does; `date` as "2026-11-29", None: today.

        Raises:
            ValueError: `date` is no such date.
        """
        when = Date.today() if date is None else Date.fromisoformat(date)
        for name, value in (
            ("speaker", speaker),
            ("given_by", given_by),
            ("purpose", purpose),
            ("date", when),
        ):
            self.fields[name].value = value

    def clear(self) -> None:
        """Empty all fields; the date is today's again."""
        self.fill("", "", "")

    def fallback_html(self) -> str:
        """What the form asks for."""
        asked = "".join(
            f"<li>{name.replace('_', ' ')}: {words.replace('“', '&ldquo;').replace('”', '&rdquo;')}</li>"
            for name, words in WORDS.items()
        )
        return f"<div>{EXPLAINED}<ul>{asked}</ul></div>"

    def __repr__(self) -> str:
        return "ConsentForm()"
