//! Changes as they come, as a stream of messages.

use std::pin::Pin;

use futures::{Stream, stream};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tonic::server::ServerStreamingService;
use tonic::{Request, Response, Status};

use super::super::read::{News, Watched};
use super::message;
use super::method::{Call, status};
use crate::pipeline::Ended;

type Messages = Pin<Box<dyn Stream<Item = Result<DynamicMessage, Status>> + Send>>;

impl ServerStreamingService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let (answers, output, stop) = (self.answers.clone(), self.method.output.clone(), self.stop.clone());
        Box::pin(async move {
            let fields = message::asked(request.get_ref())?;
            let text = |name| message::text(&fields, name);
            let (replica, position, ids) =
                (text("replica"), text("position"), message::texts(&fields, "ids"));
            let from = Some(position.as_str()).filter(|position| !position.is_empty());
            let watched = answers.watch(&replica, &ids, from).await.map_err(status)?;
            Ok(Response::new(messages(watched, output, stop)))
        })
    }
}

/// The position first, and then what changes, until the watch ends.
fn messages(watched: Watched, output: MessageDescriptor, stop: CancellationToken) -> Messages {
    let begun = (Some(watched), false);
    Box::pin(stream::unfold(begun, move |(watched, is_open)| {
        let (output, stop) = (output.clone(), stop.clone());
        async move {
            let mut watched = watched?;
            let news = if is_open { watched.next(&stop).await } else { News::Nothing };
            let (changed, gone) = match &news {
                News::Changed(changed) => watched.entities(changed),
                News::Nothing => (Vec::new(), Vec::new()),
                News::End(why) => return why.map(|why| (Err(ended(why)), (None, true))),
            };
            let message = said(&watched, &changed, &gone, &output);
            let next = message.is_ok().then_some(watched);
            Some((message, (next, true)))
        }
    }))
}

fn said(
    watched: &Watched,
    changed: &[Value],
    gone: &[Value],
    output: &MessageDescriptor,
) -> Result<DynamicMessage, Status> {
    message::told(json!({ "changed": changed, "gone": gone, "position": watched.position() }), output)
}

fn ended(why: Ended) -> Status {
    match why {
        Ended::Behind => Status::aborted("the watcher was too slow; take it up from the last position"),
        Ended::Lost => Status::out_of_range("read everything anew, and watch from now on"),
    }
}
