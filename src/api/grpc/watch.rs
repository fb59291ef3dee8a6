//! Changes as they come, as a stream of messages.

use std::pin::Pin;

use futures::{Stream, stream};
use tokio_util::sync::CancellationToken;
use tonic::server::ServerStreamingService;
use tonic::{Request, Response, Status};

use super::super::read::{News, Watched};
use super::messages::{WatchRequest, WatchResponse};
use super::method::{Call, status};
use crate::pipeline::Ended;

type Messages = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

impl ServerStreamingService<WatchRequest> for Call {
    type Response = WatchResponse;
    type ResponseStream = Messages;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

    fn call(&mut self, request: Request<WatchRequest>) -> Self::Future {
        let (answers, stop) = (self.answers.clone(), self.stop.clone());
        Box::pin(async move {
            let WatchRequest { replica, ids, position } = request.into_inner();
            let from = Some(position.as_str()).filter(|position| !position.is_empty());
            let watched = answers.watch(&replica, &ids, from).await.map_err(status)?;
            Ok(Response::new(messages(watched, stop)))
        })
    }
}

/// The position first, and then what changes, until the watch ends.
fn messages(watched: Watched, stop: CancellationToken) -> Messages {
    let begun = (Some(watched), false);
    Box::pin(stream::unfold(begun, move |(watched, is_open)| {
        let stop = stop.clone();
        async move {
            let mut watched = watched?;
            let news = if is_open { watched.next(&stop).await } else { News::Nothing };
            let (changed, gone) = match &news {
                News::Changed(changed) => watched.entities(changed),
                News::Nothing => (Vec::new(), Vec::new()),
                News::End(why) => return why.map(|why| (Err(ended(why)), (None, true))),
            };
            let message = WatchResponse::new(&changed, &gone, watched.position());
            Some((Ok(message), (Some(watched), true)))
        }
    }))
}

fn ended(why: Ended) -> Status {
    match why {
        Ended::Behind => Status::aborted("the watcher was too slow; take it up from the last position"),
        Ended::Lost => Status::out_of_range("read everything anew, and watch from now on"),
    }
}
