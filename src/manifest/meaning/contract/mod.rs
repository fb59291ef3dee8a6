//! A team's own gRPC methods: each message has the fields that are named, and each field can say what it is given.

mod answer;
mod fit;
mod request;

use std::sync::Arc;

use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};

use super::super::place::{Place, Value};
use super::super::raw::{self, Short};
use super::super::{Code, Diagnostic, suggest};
use super::{Noted, empty, entry};
use crate::replication::{Asks, Contract, ContractMethod, Subscription};

/// The packages whose services are served anyway.
const OURS: [&str; 2] = ["nearcopy.", "grpc."];
/// The name under which REST is served; a service without a package would be at the same address.
const REST: &str = "v1";

/// Reads every method; nothing where none is declared, or the files that declare their services do not compile.
pub(super) fn read(
    root: Place<'_>,
    protos: Option<&DescriptorPool>,
    replicas: &[Arc<Subscription>],
    findings: &mut Vec<Diagnostic>,
) -> Option<Arc<Contract>> {
    let at = root.get("grpc")?;
    nothing_is_empty(at, findings);
    let mut methods = Vec::new();
    for (name, at) in at.get("methods").into_iter().flat_map(Place::entries) {
        let Some(raw) = entry::<raw::Method>(at, findings) else { continue };
        one_of(&raw, at).noted(findings);
        let of = replica(root, &raw.from, at.at("from"), replicas).noted(findings).flatten();
        let method = protos.and_then(|protos| method(protos, name, at).noted(findings));
        if let (Some(of), Some(method)) = (of, method) {
            methods.extend(Reading { method, of, raw: &raw, at, findings }.read());
        }
    }
    Some(Arc::new(Contract { files: protos?.clone(), methods }))
}

fn nothing_is_empty(at: Place<'_>, findings: &mut Vec<Diagnostic>) {
    let is_empty = |at: &Place<'_>| match &at.node.value {
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    let helps = [
        ("protos", "no file declares a service", "name the files: `protos: [foos.proto]`"),
        ("methods", "no method is answered", "name some: `acme.v1.Foos/GetFoo: { from: foos, get: id }`"),
    ];
    for (key, message, help) in helps {
        findings.extend(at.get(key).filter(is_empty).map(|at| empty(at, message, help)));
    }
}

fn one_of(raw: &raw::Method, at: Place<'_>) -> Result<(), Diagnostic> {
    let why = match (&raw.get, &raw.list) {
        (Some(_), None) | (None, Some(_)) => return Ok(()),
        _ if ["get", "list"].iter().any(|key| at.get(key).is_some_and(Place::is_broken)) => return Ok(()),
        (None, None) => "neither is here",
        (Some(_), Some(_)) => "both are here",
    };
    Err(Diagnostic::new(Code::OneOf, at.key, "a method wants either `get` or `list`").why(why).help(
        "`get: id` asks for one entity by that field of the request; `list: { where: { status: status } }` for several",
    ))
}

/// Looks up the replica; nothing where it is declared and has been found wrong.
fn replica<'r>(
    root: Place<'_>,
    from: &str,
    at: Place<'_>,
    replicas: &'r [Arc<Subscription>],
) -> Result<Option<&'r Subscription>, Diagnostic> {
    let declared = [root.names("replicas"), root.names("read_models")].concat();
    if declared.contains(&from) || (declared.is_empty() && super::in_doubt(root)) {
        return Ok(replicas.iter().find(|of| of.name.as_str() == from).map(|of| &**of));
    }
    Err(Diagnostic::new(Code::UnknownName, at.mark(), format!("there is no replica `{from}`"))
        .why("not declared under `replicas` or `read_models`")
        .help(suggest::advice(from, declared)))
}

/// Looks up a method by its name as it is called.
fn method(protos: &DescriptorPool, name: &str, at: Place<'_>) -> Result<MethodDescriptor, Diagnostic> {
    let Some((service, own)) = name.split_once('/') else {
        return Err(Diagnostic::new(Code::BadName, at.key, format!("`{name}` names no method"))
            .why("there is no `/` between the service and its method")
            .help("write it as it is called: `acme.v1.Foos/GetFoo`"));
    };
    if service == REST || OURS.iter().any(|package| service.starts_with(package)) {
        return Err(Diagnostic::new(Code::BadMethod, at.key, format!("`{service}` is served already"))
            .why("the name is not yours")
            .help("declare a service in a package of your own, such as `acme.v1`"));
    }
    let unknown = |message: String, advice: String| {
        let found = Diagnostic::new(Code::UnknownName, at.key, message);
        found.why("not declared in the files of `protos`").help(advice)
    };
    let Some(found) = protos.get_service_by_name(service) else {
        let names: Vec<String> = protos.services().map(|service| service.full_name().to_owned()).collect();
        let advice = suggest::advice(service, names.iter().map(String::as_str));
        return Err(unknown(format!("there is no service `{service}`"), advice));
    };
    let Some(method) = found.methods().find(|method| method.name() == own) else {
        let names: Vec<String> = found.methods().map(|method| method.name().to_owned()).collect();
        let advice = suggest::advice(own, names.iter().map(String::as_str));
        return Err(unknown(format!("`{service}` has no method `{own}`"), advice));
    };
    if method.is_client_streaming() || method.is_server_streaming() {
        return Err(Diagnostic::new(Code::BadMethod, at.key, format!("`{name}` cannot be served"))
            .why("it streams")
            .help("a method that is answered here has one request and one answer"));
    }
    Ok(method)
}

/// A method whose replica and messages are known.
struct Reading<'t, 'f> {
    method: MethodDescriptor,
    of: &'f Subscription,
    raw: &'f raw::Method,
    at: Place<'t>,
    findings: &'f mut Vec<Diagnostic>,
}

impl Reading<'_, '_> {
    fn read(mut self) -> Option<ContractMethod> {
        let (asks, into) = match (&self.raw.get, &self.raw.list) {
            (Some(get), None) => self.one(get)?,
            (None, Some(list)) => self.many(list)?,
            _ => return None,
        };
        let entity = into.as_ref().and_then(fit::message).unwrap_or_else(|| self.method.output());
        let says = answer::says(&entity, self.of, self.raw, self.at, self.findings);
        Some(ContractMethod { method: self.method, from: self.of.name.to_string(), asks, into, says })
    }

    fn one(&mut self, get: &Short<raw::Get>) -> Option<(Asks, Option<FieldDescriptor>)> {
        let at = self.at.at("get");
        let (text, id_at, into) = match get {
            Short::Path(text) => (text, at, None),
            Short::Full(get) => (&get.id, at.at("id"), get.into.as_deref()),
        };
        let id = request::id(&self.method.input(), text, self.of, id_at).noted(self.findings);
        let output = self.method.output();
        let into = into.map(|name| answer::into_one(&output, name, at.at("into"))).transpose();
        let into = into.noted(self.findings)?;
        Some((Asks::One(id?), into))
    }

    fn many(&mut self, list: &raw::List) -> Option<(Asks, Option<FieldDescriptor>)> {
        let (at, input, output) = (self.at.at("list"), self.method.input(), self.method.output());
        let before = self.findings.len();
        let entries = at.get("where").into_iter().flat_map(Place::entries);
        let named = entries.filter_map(|(on, at)| Some((on, list.conditions.get(on)?, at)));
        let read = named.map(|(on, text, at)| request::condition(&input, on, text, self.of, at));
        let conditions: Vec<_> = read.filter_map(|read| read.noted(self.findings)).collect();
        let size = request::size(&input, list.page_size.as_deref(), at).noted(self.findings);
        let paging = request::paging(&input, &output, list, at).noted(self.findings);
        let into = answer::into_many(&output, list.into.as_deref(), at).noted(self.findings);
        let (size, paging, into) = (size?, paging?, into?);
        (self.findings.len() == before).then_some((Asks::Many { conditions, size, paging }, Some(into)))
    }
}
