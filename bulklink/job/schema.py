"""The JSON Schema of a job file, for editors and for `bulklink schema`.

Owns: what the models alone do not say well to an editor: [link] or [[link]], exactly one kind, no null in TOML.
Does not know: keys; the models say them.
Source: JSON Schema draft 2020-12; Taplo's ``#:schema`` line.
"""

from typing import Any

from bulklink.job.document import KINDS, Job


def job_schema() -> dict[str, Any]:
    """The schema as a JSON value. Every key has a description."""
    schema: dict[str, Any] = _without_null(Job.model_json_schema(by_alias=True))
    link = schema["properties"]["link"]
    schema["properties"]["link"] = {
        "description": link["description"],
        "anyOf": [link["items"], {"type": "array", "items": link["items"], "minItems": 1}],
    }
    definitions = schema["$defs"]
    for table in (schema, *definitions.values()):
        for value in table.get("properties", {}).values():
            value.pop("title", None)
            if "$ref" in value:
                value.pop("default", None)  # the keys of the section have their own
                about = definitions[value["$ref"].rpartition("/")[2]]["description"].split("\n")[0]
                value.setdefault("description", about)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "bulklink job file",
        "oneOf": [{"required": [kind]} for kind in KINDS],
    }


def _without_null(value: Any) -> Any:
    """TOML has no null: a key that may be None may be left out."""
    if isinstance(value, list):
        return [_without_null(one) for one in value]
    if not isinstance(value, dict):
        return value
    value = {key: _without_null(one) for key, one in value.items() if not (key == "default" and one is None)}
    choices = value.get("anyOf")
    if isinstance(choices, list):
        left = [choice for choice in choices if choice != {"type": "null"}]
        if len(left) == 1:
            del value["anyOf"]
            return {**left[0], **value}
        value["anyOf"] = left
    return value
