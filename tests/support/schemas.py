"""The part of JSON Schema that the messages' schemas use."""

from typing import Any

Json = Any
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def faults(value: Json, schema: Json, schemas: dict[str, Json], path: str = "$") -> list[str]:
    """Where a value does not fit a schema, each place in words. A keyword this does not know is a fault."""
    if schema is False:
        return [f"{path}: nothing may stand here"]
    supported = {
        "type",
        "enum",
        "anyOf",
        "$ref",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "prefixItems",
    }
    silent = {"title", "description", "default", "discriminator", "contentEncoding", "minItems", "maxItems"}
    problems = [f"{path}: unknown keyword {keyword}" for keyword in schema.keys() - supported - silent]
    if "$ref" in schema:
        return problems + faults(value, schemas[schema["$ref"].rpartition("/")[2]], schemas, path)
    if "anyOf" in schema:
        options = [faults(value, option, schemas, path) for option in schema["anyOf"]]
        return problems + ([] if [] in options else [f"{path}: {value!r} is none of {len(options)} kinds: {options}"])
    if "enum" in schema and value not in schema["enum"]:
        return [*problems, f"{path}: {value!r} is none of {schema['enum']}"]
    expected = _TYPES.get(schema.get("type", ""), (object,))
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected and object not in expected):
        return [*problems, f"{path}: {value!r} is no {schema['type']}"]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        further = schema.get("additionalProperties", {})
        problems += [f"{path}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, inner in value.items():
            problems += faults(inner, properties.get(name, further), schemas, f"{path}.{name}")
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for number, inner in enumerate(value):
            its = first[number] if number < len(first) else schema.get("items", {})
            problems += faults(inner, its, schemas, f"{path}[{number}]")
    return problems
