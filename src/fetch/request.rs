//! One HTTP exchange with an owner, and what its outcome says about the owner.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::crypto::{CryptoProvider, ring};

use super::FetchError;
use crate::clock;
use crate::event::{DecodeError, Reason};
use crate::telemetry::trace;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 8 << 20;

/// What an owner answered.
pub(super) enum Reply {
    /// It said something, with links to something else, if there were any.
    Body(Vec<u8>, Option<String>),
    /// It does not know what it was asked for.
    NotFound(u16),
}

/// Why an exchange was in vain.
pub(super) struct Failure {
    /// As it is reported.
    pub(super) error: FetchError,
    /// What it says about the owner.
    pub(super) sign: Sign,
}

/// What a failure says about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing was sent.
    Silent,
    /// It is there and answers; only this was no good.
    Alive,
    /// It does not let us in; trying at once again would not help.
    Closed,
    /// It is in trouble; a moment later it may not be.
    Down,
    /// It asks to be left in peace for this long.
    Rest(Duration),
}

/// Chooses a provider of TLS, if nobody has.
pub(super) fn provide_tls() {
    if CryptoProvider::get_default().is_none() {
        // Whoever is first sets the same provider, so to be second is no harm.
        ring::default_provider().install_default().ok();
    }
}

/// A client that follows no redirect, heeds no proxy from the environment, and reads no compressed bombs.
///
/// The certificates of the system are needed only where some owner is asked by https, so that an image without any
/// will do elsewhere.
pub(super) fn client(https: bool) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("nearcopy/", env!("CARGO_PKG_VERSION")));
    if https { builder.build() } else { builder.tls_certs_only([]).build() }
}

/// Refuses a URL whose path a client would resolve to another one before it sends it: every client takes `.` and
/// `..` for steps between folders, however they are encoded, so an entity of that name cannot be asked for.
pub(super) fn check_path(url: &str) -> Result<(), DecodeError> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_step = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    if path.split('/').any(is_step) {
        return Err(DecodeError::new(Reason::BadId, "the id would lead to another path of the owner's API"));
    }
    Ok(())
}

/// Sends one request and reads the whole answer, within this time.
pub(super) async fn get(
    client: &Client,
    url: &str,
    bearer: Option<&HeaderValue>,
    within: Duration,
) -> Result<Reply, Failure> {
    let mut request = client.get(url).header(ACCEPT, "application/json").timeout(within);
    if let Some(bearer) = bearer {
        request = request.header(AUTHORIZATION, bearer);
    }
    if let Some(context) = trace::current() {
        request = request.header(trace::HEADER, context.child().to_string());
    }
    let response = request.send().await.map_err(|error| unreachable(error, within))?;
    match response.status() {
        StatusCode::OK => {
            let links = links(response.headers());
            Ok(Reply::Body(read_body(response, within).await?, links))
        }
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(Reply::NotFound(status.as_u16())),
        status => Err(judge(status, response.headers())),
    }
}

fn links(headers: &HeaderMap) -> Option<String> {
    let links: Vec<&str> = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok()).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

async fn read_body(mut response: Response, within: Duration) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure {
        error: DecodeError::new(Reason::TooLarge, format!("more than {LARGEST_ANSWER} bytes")).into(),
        sign: Sign::Alive,
    };
    if response.content_length().is_some_and(|length| length > LARGEST_ANSWER as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(error, within))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a status other than "here it is" and "not here" means.
fn judge(status: StatusCode, headers: &HeaderMap) -> Failure {
    let code = status.as_u16();
    let sign = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Failure { error: FetchError::Refused(code), sign: Sign::Closed };
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            retry_after(headers).map_or(Sign::Down, Sign::Rest)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Sign::Down,
        _ if status.is_server_error() => Sign::Down,
        _ => Sign::Alive,
    };
    Failure { error: FetchError::Failed(code), sign }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let micros = date.as_microsecond().saturating_sub(clock::wall_micros());
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
}

/// Says why no whole answer came, without the URL, since that holds an id.
fn unreachable(error: reqwest::Error, within: Duration) -> Failure {
    let text = if error.is_timeout() {
        format!("no whole answer within {within:?}")
    } else {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    };
    Failure { error: FetchError::Unreachable(text), sign: Sign::Down }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(rest("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            rest("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO),
            "a past date asks for no rest"
        );
        let far = rest("Thu, 31 Dec 9998 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1_000_000));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(rest(text), None, "{text}");
        }
    }
}
