//! How an owner is asked, found in its OpenAPI description.

use serde_json::Value;

use super::guess::Replica;
use super::leaf::written;
use super::reference::resolve;
use super::word::{folded, plural};

/// Where one entity is found, and where in the answer things are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The path, with the id's place in it.
    pub(super) url: String,
    /// Where several are found, and where the list is in that answer.
    pub(super) batch: Option<(String, String)>,
    /// The part of an answer that has the fields.
    pub(super) data: String,
    pub(super) id: Option<String>,
    pub(super) version: Option<String>,
}

/// A path that ends with an id: `/users/{id}`.
struct One<'d> {
    of: &'d str,
    before: &'d str,
    item: &'d Value,
}

/// Looks for the path of a replica's entities: the one that is called like them, or the only one there is.
pub(super) fn asked(document: &Value, replica: &Replica, owner: &str, is_only: bool) -> Option<Asked> {
    let ones = ones(document);
    let singular = replica.entity.clone().unwrap_or_else(|| replica.name.clone());
    let names = [folded(&singular), folded(&plural(&singular)), folded(&replica.name)];
    let called = ones.iter().find(|one| names.contains(&folded(one.of)));
    let one = called.or(match ones.as_slice() {
        [only] if is_only => Some(only),
        _ => None,
    })?;
    let base = base(document, owner);
    let answer = answer(document, one.item);
    let fields: Vec<&str> = replica.fields.iter().map(|field| field.name.as_str()).collect();
    let (data, schema) = answer.map_or((String::new(), None), |schema| part(document, schema, &fields));
    let has = |name: &str| schema.and_then(|schema| property(document, schema, name)).is_some();
    let within = |name: &str| {
        let names: Vec<String> = std::iter::once(data.clone()).chain([name.to_owned()]).collect();
        let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        written("", &names)
    };
    let id = [replica.id.name.as_str(), "id"].into_iter().find(|name| has(name)).map(within);
    let version = replica.version.as_ref().map(|version| version.name.as_str());
    let version = version.filter(|name| has(name)).map(within);
    let url = format!("{base}{}{{id}}", one.before);
    Some(Asked { batch: batch(document, one, &base), url, data, id, version })
}

/// Every path with one parameter, at its end, that can be read.
fn ones(document: &Value) -> Vec<One<'_>> {
    let paths = document.get("paths").and_then(Value::as_object);
    let one = |(path, item): (&'_ String, &'_ Value)| -> Option<(usize, usize)> {
        item.get("get")?;
        let start = path.rfind('{')?;
        let is_last = path.ends_with('}') && path.matches('{').count() == 1 && path[..start].ends_with('/');
        let of = path[..start].trim_end_matches('/').rfind('/')? + 1;
        is_last.then_some((of, start))
    };
    let found = paths.into_iter().flatten().filter_map(|(path, item)| {
        let (of, start) = one((path, item))?;
        Some(One { of: path[of..start].trim_end_matches('/'), before: &path[..start], item })
    });
    found.collect()
}

/// The address of the API, if it says one.
fn base(document: &Value, owner: &str) -> String {
    let servers = document.get("servers").and_then(Value::as_array);
    let urls = servers.into_iter().flatten().filter_map(|server| server.get("url")?.as_str());
    let usable = |url: &&str| url.starts_with("http") && !url.contains(['{', '@', '$', ' ']);
    urls.into_iter()
        .find(usable)
        .map_or_else(|| format!("http://{owner}"), |url| url.trim_end_matches('/').to_owned())
}

/// The form of the answer to a GET.
fn answer<'d>(document: &'d Value, item: &'d Value) -> Option<&'d Value> {
    let answers = item.get("get")?.get("responses")?;
    let answer = resolve(document, answers.get("200").or_else(|| answers.get("2XX"))?);
    let content = answer.get("content")?.as_object()?;
    let json = content.iter().find(|(kind, _)| kind.contains("json"))?.1;
    Some(resolve(document, json.get("schema")?))
}

fn property<'d>(document: &'d Value, schema: &'d Value, name: &str) -> Option<&'d Value> {
    if let Some(found) = schema.get("properties").and_then(|all| all.get(name)) {
        return Some(resolve(document, found));
    }
    let all = schema.get("allOf").and_then(Value::as_array);
    all.into_iter().flatten().find_map(|part| property(document, resolve(document, part), name))
}

/// The part of an answer in which most of the fields are: the whole, or one of its objects.
fn part<'d>(document: &'d Value, schema: &'d Value, fields: &[&str]) -> (String, Option<&'d Value>) {
    let has =
        |schema: &Value| fields.iter().filter(|name| property(document, schema, name).is_some()).count();
    let mut best = (has(schema), String::new(), schema);
    let inner = schema.get("properties").and_then(Value::as_object);
    for (name, value) in inner.into_iter().flatten() {
        let value = resolve(document, value);
        if has(value) > best.0 {
            best = (has(value), name.clone(), value);
        }
    }
    (best.1, Some(best.2))
}

/// Where several are found by their ids, and where the list is in that answer.
fn batch(document: &Value, one: &One<'_>, base: &str) -> Option<(String, String)> {
    let path = one.before.trim_end_matches('/');
    let all = document.get("paths")?.get(path)?;
    let parameters = all.get("get")?.get("parameters")?.as_array()?;
    let is_ids = |of: &&Value| {
        let of = resolve(document, of);
        of.get("in").is_some_and(|place| place == "query") && of.get("name").is_some_and(|name| name == "ids")
    };
    parameters.iter().find(is_ids)?;
    let schema = answer(document, all);
    let is_list = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "array");
    let items = match schema {
        Some(schema) if !is_list(schema) => {
            let inner = schema.get("properties").and_then(Value::as_object);
            inner
                .into_iter()
                .flatten()
                .find(|(_, value)| is_list(resolve(document, value)))
                .map(|(name, _)| name.clone())
        }
        _ => None,
    };
    Some((format!("{base}{path}?ids={{ids}}"), items.unwrap_or_default()))
}
