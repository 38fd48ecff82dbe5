"""The OpenAPI document, generated from the route table and the pydantic models: nothing in it is written twice."""

from __future__ import annotations

import dataclasses

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.schemas import API_VERSION, ErrorAnswer


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the route table. ``answer`` None means that the body is not JSON (``content_type`` says what)."""

    method: str
    path: str
    name: str
    summary: str
    answer: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    query: tuple[tuple[str, str, bool], ...] = ()
    content_type: str = "application/json"
    errors: tuple[int, ...] = ()


def document(endpoints: tuple[Endpoint, ...], version: str) -> dict[str, object]:
    """OpenAPI 3.1 of the endpoints; ``version`` is the desk's, API_VERSION the contract's (SemVer)."""
    models: list[type[BaseModel]] = [ErrorAnswer]
    for endpoint in endpoints:
        models.extend(model for model in (endpoint.answer, endpoint.request) if model and model not in models)
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "propdesk",
            "version": API_VERSION,
            "description": f"The operators' API of propdesk {version}. Bound to loopback. GETs read a projection.",
        },
        "paths": paths,
        "components": {"schemas": schema["$defs"]},
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    content: dict[str, object] = {}
    if endpoint.answer is not None:
        content = {"application/json": {"schema": _ref(endpoint.answer)}}
    else:
        content = {endpoint.content_type: {"schema": {"type": "string"}}}
    answers: dict[str, object] = {
        "200": {
            "description": endpoint.summary,
            "headers": {"X-API-Version": {"schema": {"type": "string"}}},
            "content": content,
        }
    }
    for status in endpoint.errors:
        answers[str(status)] = {
            "description": "see error.message and error.mend",
            "content": {"application/json": {"schema": _ref(ErrorAnswer)}},
        }
    operation: dict[str, object] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": answers,
        "parameters": [
            {
                "name": name,
                "in": "path" if f"{{{name}}}" in endpoint.path else "query",
                "required": required,
                "description": words,
                "schema": {"type": "string"},
            }
            for name, words, required in endpoint.query
        ],
    }
    if endpoint.request is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(endpoint.request)}},
        }
    return operation


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
