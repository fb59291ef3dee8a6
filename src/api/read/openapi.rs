//! What can be read, for tools: `OpenAPI` 3.1, made from what is declared.

use serde_json::{Map, Value, json};

use super::answer::{MOST, PAGE};
use crate::event::{Field, FieldType, IdKind, Protection};
use crate::replication::Subscription;

/// What is shared, by names that no replica has.
const PROBLEM: &str = "nearcopy.Problem";
const MISSING: &str = "nearcopy.Missing";

/// The whole description.
pub fn document<'s>(service: &str, replicas: impl IntoIterator<Item = &'s Subscription>) -> Value {
    let (mut paths, mut schemas) = (Map::new(), shared());
    for of in replicas {
        let name = of.name.as_str();
        schemas.insert(name.to_owned(), entity(of));
        paths.insert(format!("/v1/{name}"), json!({ "get": list(of) }));
        paths.insert(format!("/v1/{name}/{{id}}"), json!({ "get": one(of) }));
        paths.insert(format!("/v1/{name}:batchGet"), json!({ "post": batch(of) }));
        paths.insert(format!("/v1/{name}:watch"), json!({ "get": watch(of) }));
        if !of.reads.unique.is_empty() {
            paths.insert(format!("/v1/{name}:exists"), json!({ "get": exists(of) }));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": format!("Replicas of {service}"), "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{}, { "token": [] }],
    })
}

fn one(of: &Subscription) -> Value {
    let name = of.name.as_str();
    let mut parameters = vec![
        json!({ "name": "id", "in": "path", "required": true, "schema": id(of) }),
        json!({ "name": "If-None-Match", "in": "header", "schema": { "type": "string" } }),
    ];
    parameters.extend(wishes());
    json!({
        "operationId": format!("get_{name}"),
        "summary": format!("One entity of `{name}`, fetched from {} where it is missing", of.owner),
        "parameters": parameters,
        "responses": responses(&refer(name), &["304", "404", "504"]),
    })
}

fn batch(of: &Subscription) -> Value {
    let name = of.name.as_str();
    let ids = json!({ "type": "array", "maxItems": MOST, "items": { "type": ["string", "number"] } });
    let body = json!({ "type": "object", "required": ["ids"], "properties": { "ids": ids }, "additionalProperties": false });
    let answer = json!({
        "type": "object",
        "required": ["found", "missing"],
        "properties": {
            "found": { "type": "array", "items": refer(name) },
            "missing": { "type": "array", "items": refer(MISSING) },
        },
    });
    json!({
        "operationId": format!("batch_get_{name}"),
        "summary": format!("Several entities of `{name}`"),
        "parameters": wishes(),
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": responses(&answer, &["404", "413"]),
    })
}

fn list(of: &Subscription) -> Value {
    let name = of.name.as_str();
    let mut parameters = vec![
        query("page_size", json!({ "type": "integer", "minimum": 1, "maximum": MOST, "default": PAGE })),
        query("page_token", json!({ "type": "string" })),
    ];
    for field in of.selection.fields().filter(|field| of.reads.filters.contains(&field.name)) {
        parameters.push(query(&field.name, json!({ "type": "string" })));
        parameters.push(query(&format!("{}.in", field.name), json!({ "type": "string" })));
        if field.protect.is_some() {
            continue;
        }
        let ends = ["gt", "gte", "lt", "lte"].map(|end| format!("{}.{end}", field.name));
        parameters.extend(ends.iter().map(|end| query(end, json!({ "type": "string" }))));
    }
    let answer = json!({
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": { "type": "array", "items": refer(name) },
            "next_page_token": { "type": "string" },
        },
    });
    json!({
        "operationId": format!("list_{name}"),
        "summary": format!("The entities of `{name}` that are held here, page by page"),
        "parameters": parameters,
        "responses": responses(&answer, &["404"]),
    })
}

fn exists(of: &Subscription) -> Value {
    let name = of.name.as_str();
    let values = of.reads.unique.iter().map(|field| {
        let mut value = query(field, json!({ "type": "string" }));
        value["required"] = (of.reads.unique.len() == 1).into();
        value
    });
    let consistency = query("consistency", json!({ "enum": ["local", "owner"], "default": "local" }));
    let within = query("within", within());
    let parameters: Vec<Value> = values.chain([consistency, within]).collect();
    let answer = json!({
        "type": "object",
        "required": ["exists", "ids"],
        "properties": { "exists": { "type": "boolean" }, "ids": { "type": "array", "items": id(of) } },
    });
    json!({
        "operationId": format!("exists_{name}"),
        "summary": format!("Whether an entity of `{name}` has this value, as far as is held here, or by the owner's word"),
        "parameters": parameters,
        "responses": responses(&answer, &["404", "504"]),
    })
}

fn watch(of: &Subscription) -> Value {
    let name = of.name.as_str();
    let header = json!({ "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" } });
    let parameters = vec![
        query("id", json!({ "type": "string", "description": "whom, separated by commas; else everybody" })),
        query("from", json!({ "type": "string", "description": "the last id that was told" })),
        header,
    ];
    let mut responses = responses(&json!({}), &["404", "410"]);
    let events = json!({ "text/event-stream": { "schema": { "type": "string" } } });
    responses["200"] =
        json!({ "description": "`open`, then `changed` and `gone` as they come", "content": events });
    json!({
        "operationId": format!("watch_{name}"),
        "summary": format!("What changes in `{name}` from now on, as server-sent events"),
        "parameters": parameters,
        "responses": responses,
    })
}

/// The parameters that say how fresh it must be.
fn wishes() -> Vec<Value> {
    let age = json!({ "type": "string", "pattern": "^[0-9]{1,6}(ms|s|m|h)$", "examples": ["500ms", "2s"] });
    vec![
        query("min_version", json!({ "type": "integer", "format": "int64" })),
        query("max_staleness", age),
        query("wait_for", json!({ "type": "string", "description": "the id of an event" })),
        query("consistency", json!({ "enum": ["local", "owner"], "default": "owner" })),
        query("within", within()),
    ]
}

/// How long a reader may wait: less than 30 s.
fn within() -> Value {
    json!({ "type": "string", "pattern": "^([0-9]{1,4}ms|[12]?[0-9]s)$", "examples": ["500ms", "2s"] })
}

fn query(name: &str, schema: Value) -> Value {
    let mut parameter = json!({ "name": name, "in": "query" });
    parameter["schema"] = schema;
    parameter
}

/// What may come back: this, or one of these problems, or one that any request may meet.
fn responses(answer: &Value, others: &[&str]) -> Value {
    let mut responses = Map::new();
    let content = json!({ "application/json": { "schema": answer } });
    responses.insert("200".into(), json!({ "description": "as asked for", "content": content }));
    let problem = json!({ "application/problem+json": { "schema": refer(PROBLEM) } });
    for status in others.iter().chain(&["400", "401", "403", "405", "503"]) {
        let response = match *status {
            "304" => json!({ "description": "as you have it" }),
            _ => json!({ "description": "a problem", "content": problem }),
        };
        responses.insert((*status).into(), response);
    }
    responses.into()
}

fn entity(of: &Subscription) -> Value {
    let fields: Map<String, Value> =
        of.selection.fields().map(|field| (field.name.clone(), schema(field))).collect();
    let mut properties = freshness();
    properties.insert("id".into(), id(of));
    properties.insert(
        "fields".into(),
        json!({ "type": "object", "properties": fields, "additionalProperties": false }),
    );
    json!({
        "type": "object",
        "required": ["id", "fields", "version", "origin", "age_ms", "stale"],
        "properties": properties,
    })
}

fn freshness() -> Map<String, Value> {
    let of = |name: &str, schema: Value| (name.to_owned(), schema);
    Map::from_iter([
        of("version", json!({ "type": ["integer", "null"], "format": "int64" })),
        of("epoch", json!({ "type": "integer" })),
        of("origin", json!({ "enum": ["event", "fetch", "erase", ""] })),
        of("event", json!({ "type": "string", "description": "the event that brought it" })),
        of("changed_at", json!({ "type": "string", "format": "date-time" })),
        of(
            "age_ms",
            json!({ "type": "integer", "minimum": 0, "description": "since it was last known to be so" }),
        ),
        of("stale", json!({ "type": "boolean", "description": "whether something newer is known to be" })),
    ])
}

/// What every replica's answers have in common.
fn shared() -> Map<String, Value> {
    let problem = json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
        },
    });
    let missing = json!({
        "type": "object",
        "required": ["id", "state", "late"],
        "properties": {
            "id": {},
            "state": { "enum": ["absent", "pending", "live", "gone"] },
            "why": { "enum": ["deleted", "out", "404", "erased"] },
            "late": { "type": "boolean" },
        },
    });
    Map::from_iter([(PROBLEM.to_owned(), problem), (MISSING.to_owned(), missing)])
}

fn id(of: &Subscription) -> Value {
    match of.selection.id_kind() {
        IdKind::Int => json!({ "type": "integer", "format": "int64" }),
        IdKind::Uuid => json!({ "type": "string", "format": "uuid" }),
        IdKind::ObjectId => json!({ "type": "string", "pattern": "^[0-9a-f]{24}$" }),
        IdKind::String => json!({ "type": "string", "minLength": 1 }),
    }
}

/// What a field can be; every one may be null, since owners write that for nothing.
fn schema(field: &Field) -> Value {
    let mut schema = kind(field.told_as());
    let says = match field.protect {
        None => return schema,
        Some(Protection::Hash) => "a hash, the same for equal values",
        Some(Protection::Mask) => "what is left of it by a mask",
        Some(Protection::Encrypt) => "there for readers who see it in clear",
    };
    schema["description"] = says.into();
    schema
}

fn kind(kind: FieldType) -> Value {
    match kind {
        FieldType::Any => json!({}),
        FieldType::String => json!({ "type": ["string", "null"] }),
        FieldType::Int => json!({ "type": ["integer", "null"], "format": "int64" }),
        FieldType::Double => json!({ "type": ["number", "null"] }),
        FieldType::Decimal => json!({ "type": ["string", "null"], "format": "decimal" }),
        FieldType::Bool => json!({ "type": ["boolean", "null"] }),
        FieldType::Date => json!({ "type": ["string", "null"], "format": "date-time" }),
        FieldType::ObjectId => json!({ "type": ["string", "null"], "pattern": "^[0-9a-f]{24}$" }),
        FieldType::Uuid => json!({ "type": ["string", "null"], "format": "uuid" }),
        FieldType::Object => json!({ "type": ["object", "null"] }),
        FieldType::Array => json!({ "type": ["array", "null"] }),
    }
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
