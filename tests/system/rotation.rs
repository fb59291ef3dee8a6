//! Secrets and certificates that are put in place of others while the program runs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::owner_service::{Reply, honest};
use crate::rabbitmq::eventually;
use crate::read::{Read, TOKEN};
use crate::sidecar::Sidecar;
use crate::stage::Stage;

/// A file of a test, gone with it.
struct Secret(PathBuf);

impl Secret {
    fn of(text: &str) -> Self {
        let secret = Self(std::env::temp_dir().join(format!("nearcopy-{}", uuid::Uuid::new_v4().simple())));
        secret.becomes(text);
        secret
    }

    fn becomes(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

async fn refused(sidecar: &Sidecar) -> u64 {
    sidecar.metrics().await.sum("nearcopy_manifest_refused", &[])
}

/// F8: a token that expires is replaced in its file, and the owner is asked with the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_sent_the_token_of_now() {
    let stage = Stage::new().await;
    let token = Secret::of("the-first-token-of-all\n");
    let mut sidecar = stage.plan().set("fetch.token_file", token.path()).start().await;
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    stage.consumer.shows("p", "Ada").await;
    stage.owner.answers(|asked, entities| match asked.token.as_deref() {
        Some("the-second-token") => honest(asked, entities),
        _ => Reply::status(401),
    });
    stage.owner.has("v", 1, "Eve");
    stage.consumer.sells("q", "v").await;
    eventually("the first token is no longer taken", async || {
        stage.owner.asked().iter().any(|asked| asked.ids == ["v"])
    })
    .await;
    token.becomes("the-second-token\n");
    stage.consumer.shows("q", "Eve").await;
    assert_eq!((sidecar.logged("settings.changed").len(), sidecar.logged("running").len()), (1, 2));
    sidecar.is("well", |_, report| report["status"] == "ok").await;
    let log = sidecar.log();
    assert!(!log.contains("the-first-token") && !log.contains("the-second-token"), "{log}");
    sidecar.stop().await;
    stage.clear().await;
}

/// What is wrong is refused and said, and what was before stays at work; what is right again is said, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_wrong_is_refused() {
    let token = Secret::of(TOKEN);
    let mut read = Read::start("all", |plan| plan.set("read.token_file", token.path())).await;
    // While it begins anew, nobody answers.
    let ask = async |token: &str| {
        let asking = read.http.get(format!("{}users", read.url)).bearer_auth(token);
        asking.send().await.ok().map(|answer| answer.status().as_u16())
    };
    assert_eq!(ask(TOKEN).await, Some(200));
    for wrong in ["short", "a-token-that-is-long-enough nothing"] {
        token.becomes(wrong);
        let told = |status, report: &Value| status == 200 && report["reasons"].to_string().contains("secret");
        read.sidecar.is("degraded, and says why", told).await;
        assert_eq!((refused(&read.sidecar).await, ask(TOKEN).await), (1, Some(200)), "{wrong}");
        token.becomes(TOKEN);
        read.sidecar.is("well again", |_, report| report["status"] == "ok").await;
        assert_eq!(refused(&read.sidecar).await, 0);
    }
    assert_eq!(read.sidecar.logged("settings.restored").len(), 2);
    token.becomes("another-token-of-readers-42");
    eventually("the new one opens", async || ask("another-token-of-readers-42").await == Some(200)).await;
    assert_eq!(ask(TOKEN).await, Some(401), "the old one opens nothing");
    assert_eq!(read.sidecar.logged("running").len(), 2);
    assert!(!read.sidecar.log().contains("another-token"), "a secret is in the log");
    read.end().await;
}

/// A certificate that runs out is replaced in its file. One that is none, or is not that of the key, is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_none_is_refused() {
    let file = |name: &str| {
        let path = format!("{}/tests/support/impostor/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(path).unwrap()
    };
    let certificate = file("certificate.pem");
    let (shown, key) = (Secret::of(&certificate), Secret::of(&file("key.pem")));
    let mut read = Read::start("all", |plan| {
        plan.set("read.tls_certificate", shown.path()).set("read.tls_key", key.path())
    })
    .await;
    shown.becomes("no certificate");
    let told = |_, report: &Value| report["reasons"].to_string().contains("certificate");
    read.sidecar.is("degraded, and says why", told).await;
    // A line more is another file with the same certificate.
    shown.becomes(&format!("{certificate}\n"));
    eventually("it begins anew", async || read.sidecar.logged("running").len() == 2).await;
    read.sidecar.is("well", |_, report| report["status"] == "ok").await;
    assert_eq!(read.sidecar.logged("settings.refused").len(), 1, "{}", json!(read.sidecar.log()));
    read.end().await;
}

/// Whoever has a secret said by a pipe says it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_is_read_once() {
    let stage = Stage::new().await;
    let pipe = Secret::of("");
    fs::remove_file(&pipe.0).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe.0).status().unwrap().success());
    let path = pipe.0.clone();
    let saying = std::thread::spawn(move || fs::write(path, "a-token-that-is-said-once").unwrap());
    let mut sidecar = stage.plan().set("fetch.token_file", pipe.path()).start().await;
    saying.join().unwrap();
    stage.owner.has("u", 1, "Ada");
    stage.consumer.sells("p", "u").await;
    stage.consumer.shows("p", "Ada").await;
    let tokens: Vec<_> = stage.owner.asked().into_iter().map(|asked| asked.token).collect();
    assert!(tokens.contains(&Some("a-token-that-is-said-once".into())), "{tokens:?}");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    sidecar.is("well", |_, report| report["status"] == "ok").await;
    assert_eq!((sidecar.logged("running").len(), sidecar.logged("settings.refused").len()), (1, 0));
    sidecar.stop().await;
    stage.clear().await;
}
