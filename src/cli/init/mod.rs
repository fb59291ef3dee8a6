//! `nearcopy init`: a first manifest, drafted from what an owner publishes.
//!
//! Nothing is asked and nothing is written but the draft itself. It is what a person would write down who has seen the
//! same files, with a word on each guess; the same files always give the same draft.

mod asyncapi;
mod draft;
mod guess;
mod leaf;
mod openapi;
mod read;
mod reference;
mod sample;
mod word;

use std::error::Error;
use std::path::PathBuf;

use serde_json::Value;

use super::{Exit, Failure, Outcome, complain, print};
use crate::manifest;
use asyncapi::Promised;
use draft::{Bindings, Draft, Exchange};
use guess::Replica;
use sample::{Envelope, Sample};
pub(super) use word::is_personal;
use word::{binding, plural, slug};

/// What a draft is made from.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("events").required(true).multiple(true).args(["from_events", "from_asyncapi"])))]
pub(super) struct Arguments {
    /// Sample events, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    from_events: Option<PathBuf>,
    /// A description of the owner's events: AsyncAPI 3, JSON or YAML.
    #[arg(long, value_name = "FILE")]
    from_asyncapi: Option<PathBuf>,
    /// A description of the owner's API: OpenAPI 3, JSON or YAML.
    #[arg(long, value_name = "FILE")]
    from_openapi: Option<PathBuf>,
    /// The owner's topic exchange; guessed, where it is left out.
    #[arg(long, value_name = "NAME")]
    exchange: Option<String>,
    /// The consuming service.
    #[arg(long, value_name = "NAME", default_value = "my-service")]
    service: String,
}

/// Prints the draft. Should it not be right as it stands, that is said, too.
pub(super) fn init(arguments: &Arguments) -> Outcome {
    let draft = drafted(arguments)?;
    let printed = print(&draft)?;
    match manifest::parse("the draft", &draft, &|_| None) {
        Ok(_) => Ok(printed),
        Err(wrong) => {
            let wrong = Failure::from(wrong);
            complain(&wrong.text);
            Ok(Exit::Failed)
        }
    }
}

fn drafted(arguments: &Arguments) -> Result<String, Failure> {
    let failed = |error: &dyn Error| Failure::new(Exit::Failed, error);
    let (events, asyncapi) = (&arguments.from_events, &arguments.from_asyncapi);
    let events =
        events.as_ref().map(|path| read::events(path)).transpose().map_err(|error| failed(&error))?;
    let document = |path: &PathBuf| read::document(path).map_err(|error| failed(&error));
    let promised = match asyncapi {
        Some(path) => asyncapi::read(&document(path)?).map_err(|error| failed(&error))?,
        None => Promised::default(),
    };
    let openapi = arguments.from_openapi.as_ref().map(document).transpose()?;
    let inputs = Inputs { events: events.unwrap_or_default(), promised, openapi };
    Ok(inputs.draft(&arguments.service, arguments.exchange.as_deref()))
}

/// All that was read.
struct Inputs {
    events: Vec<Value>,
    promised: Promised,
    openapi: Option<Value>,
}

impl Inputs {
    fn draft(self, service: &str, exchange: Option<&str>) -> String {
        let from = self.from();
        let Self { events, promised, openapi } = self;
        // What was seen says more than what is promised.
        let seen = events.into_iter().map(|event| Sample { event, name: None }).collect::<Vec<_>>();
        let samples = if seen.is_empty() { promised.samples } else { seen };
        let envelope = Envelope::guess(&samples);
        let unnamed = exchange.map(slug).filter(|name| !name.is_empty());
        let replicas = guess::replicas(&envelope, &samples, unnamed.as_deref().unwrap_or("entities"));
        let owner = owner(&samples, promised.title.as_deref(), replicas.first());
        let exchange = exchange_of(exchange, &promised.exchanges, replicas.first());
        let bindings = bindings(promised.keys, &replicas);
        let is_only = replicas.len() == 1;
        let asked = |replica: Replica| {
            let asked =
                openapi.as_ref().and_then(|document| openapi::asked(document, &replica, &owner, is_only));
            (replica, asked)
        };
        let replicas = replicas.into_iter().map(asked).collect();
        Draft { service, from, exchange, bindings, envelope: &envelope, owner: owner.clone(), replicas }
            .write()
    }

    fn from(&self) -> String {
        let events = match self.events.len() {
            0 => None,
            1 => Some("1 event".to_owned()),
            many => Some(format!("{many} events")),
        };
        let asyncapi = (!self.promised.samples.is_empty()).then(|| "an AsyncAPI description".to_owned());
        let openapi = self.openapi.as_ref().map(|_| "an OpenAPI description".to_owned());
        let parts: Vec<String> = events.into_iter().chain(asyncapi).chain(openapi).collect();
        parts.join(" and ")
    }
}

/// The owner's name: what CloudEvents say of themselves, what the description is called, or after the entity.
fn owner(samples: &[Sample], title: Option<&str>, first: Option<&Replica>) -> String {
    let source = samples.first().filter(|sample| sample.event.get("specversion").is_some());
    let source = source.and_then(|sample| sample.event.get("source")?.as_str());
    let last = source.and_then(|source| source.trim_end_matches('/').rsplit(['/', ':']).next());
    let told = last.or(title).map(slug).filter(|name| !name.is_empty());
    told.unwrap_or_else(|| {
        let entity = first.and_then(|replica| replica.entity.as_deref()).unwrap_or("owner");
        if entity == "owner" { entity.to_owned() } else { format!("{}-service", slug(entity)) }
    })
}

fn exchange_of(given: Option<&str>, promised: &[String], first: Option<&Replica>) -> Exchange {
    match (given, promised) {
        (Some(given), _) => Exchange { name: given.to_owned(), why: None },
        (None, [only]) => Exchange { name: only.clone(), why: Some("from its AsyncAPI description") },
        (None, [first, ..]) => {
            let why = "DECIDE: its AsyncAPI description names several; a source for each is needed";
            Exchange { name: first.clone(), why: Some(why) }
        }
        (None, []) => {
            let entity = first.and_then(|replica| replica.entity.as_deref()).map(plural);
            let why = "DECIDE: guessed from the names of types; the owner's topic exchange";
            Exchange { name: entity.unwrap_or_else(|| "events".into()), why: Some(why) }
        }
    }
}

fn bindings(promised: Vec<String>, replicas: &[Replica]) -> Bindings {
    if !promised.is_empty() {
        return Bindings { keys: promised, why: "from its AsyncAPI description" };
    }
    let types = replicas.iter().flat_map(|replica| replica.on.iter().map(|(kind, _)| binding(kind)));
    let mut keys = Vec::new();
    for key in types {
        let Some(key) = key else {
            return Bindings {
                keys: vec!["#".into()],
                why: "DECIDE: all of the exchange; which routing keys are these events under?",
            };
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Bindings { keys, why: "DECIDE: guessed, as if routing keys were like types" }
}
