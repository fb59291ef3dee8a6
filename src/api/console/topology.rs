//! What is declared, as a picture needs it: what events come from, what is kept of them, and where it is shown.

use serde_json::{Value, json};

use crate::replication::{Declaration, Embed, Keep, ReadModel, Subscription, Teller};

pub(super) fn of(declared: &Declaration) -> Value {
    let source = |name: &str, kind: &str, at: &str| json!({ "name": name, "kind": kind, "at": at });
    let queues = declared.sources.iter().map(|of| source(&of.name, "queue", &of.queue.queue));
    let streams = declared.streams.iter().map(|of| source(&of.name, "stream", &of.stream));
    let feeds = declared.feeds.iter().map(|of| match &of.teller {
        Teller::Owner(list) => source(&of.name, "feed", list.url.host()),
        Teller::Collection(list) => source(&of.name, "collection", &list.name),
    });
    json!({
        "service": declared.service,
        "generation": declared.generation,
        "sources": queues.chain(streams).chain(feeds).collect::<Vec<_>>(),
        "replicas": declared.replicas.iter().map(|of| replica(of)).collect::<Vec<_>>(),
        "readModels": declared.read_models.iter().map(|of| read_model(of)).collect::<Vec<_>>(),
        "embeds": declared.embeds.iter().map(|of| embed(of)).collect::<Vec<_>>(),
    })
}

fn replica(of: &Subscription) -> Value {
    let keep = match of.keep {
        Keep::All => "all",
        Keep::Referenced => "referenced",
        Keep::Where(_) => "where",
    };
    json!({
        "name": of.name.as_str(),
        "source": of.source,
        "owner": of.owner,
        "keep": keep,
        "asks": of.fetch.as_ref().map(|fetch| fetch.url.host()),
    })
}

fn read_model(of: &ReadModel) -> Value {
    let rules = of.rules.iter().map(|rule| json!({ "name": rule.name, "exchange": rule.exchange }));
    json!({ "name": of.name.as_str(), "source": of.source, "rules": rules.collect::<Vec<_>>() })
}

fn embed(of: &Embed) -> Value {
    json!({
        "name": of.name,
        "from": of.from.as_str(),
        "collection": of.collection,
        "by": of.reference.to_string(),
        "writes": of.owned_paths(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn drawn(text: &str) -> String {
        let declared = manifest::parse("nearcopy.yaml", text, &|_| None).unwrap();
        let shape = of(&declared);
        let rows = ["sources", "replicas", "readModels", "embeds"].into_iter().flat_map(|part| {
            let items = shape[part].as_array().unwrap().clone();
            items.into_iter().map(move |item| format!("{part} {item}"))
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn all_that_is_declared_is_told_with_what_it_hangs_together() {
        insta::assert_snapshot!(drawn(include_str!("../../../config/examples/bookings.yaml")), @r#"
        sources {"at":"booking-service.services","kind":"queue","name":"catalogue"}
        sources {"at":"booking-service.clients","kind":"queue","name":"clients"}
        sources {"at":"comments","kind":"collection","name":"comments"}
        replicas {"asks":"client-service","keep":"referenced","name":"clients","owner":"client-service","source":"clients"}
        replicas {"asks":null,"keep":"all","name":"services","owner":"catalogue-service","source":"catalogue"}
        readModels {"name":"news","rules":[],"source":"comments"}
        embeds {"by":"clientId","collection":"bookings","from":"clients","name":"booking-client","writes":["client_name"]}
        embeds {"by":"serviceId","collection":"bookings","from":"services","name":"booking-service","writes":["service_name","price.listed"]}
        "#);
        insta::assert_snapshot!(drawn(include_str!("../../../config/examples/library.yaml")), @r#"
        sources {"at":"library-events","kind":"stream","name":"desk"}
        readModels {"name":"members","rules":[{"exchange":"library-alerts","name":"too-many-books"}],"source":"desk"}
        readModels {"name":"copies","rules":[{"exchange":"library-alerts","name":"lent-twice"},{"exchange":"library-alerts","name":"overdue"}],"source":"desk"}
        "#);
    }
}
