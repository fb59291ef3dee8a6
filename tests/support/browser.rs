//! A browser without a window, driven over plain HTTP as `WebDriver` has it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::mongodb::services;
use crate::rabbitmq::eventually;

/// What says which port the driver has.
const STARTED: &str = "was started successfully on port ";

/// A Chromium with one page. Dropping it ends both it and its driver.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    profile: PathBuf,
}

impl Browser {
    /// Opens one, as large as a laptop's screen.
    pub(crate) async fn open() -> Self {
        let paths = services("chromium");
        let (chromium, program) = paths.split_once('\n').unwrap();
        let mut driver = Command::new(program)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = said.find_map(|line| line.unwrap().split_once(STARTED).map(|(_, port)| port.to_owned()));
        let port = port.unwrap().trim_end_matches('.').to_owned();
        // Whatever else it says must be taken from it, or it stands still.
        std::thread::spawn(move || said.for_each(drop));
        let profile = std::env::temp_dir().join(format!("nearcopy-browser-{}", uuid::Uuid::new_v4()));
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::new(),
            profile,
        };
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--force-color-profile=srgb".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", browser.profile.display()),
        ];
        let options = json!({ "binary": chromium, "args": arguments });
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let opened =
            browser.ask(Method::POST, "/session", json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        browser.session = format!("{}/session/{}", browser.session, opened["sessionId"].as_str().unwrap());
        browser
    }

    /// Loads a page.
    pub(crate) async fn goes_to(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    /// What an expression of the page says.
    pub(crate) async fn says(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.ask(Method::POST, "/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The text of all elements of this kind, as a person sees it.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let all = format!(
            "[...document.querySelectorAll('{selector}')].map((one) => one.innerText ?? one.textContent).join('\\n')"
        );
        self.says(&all).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element of this kind shows such a text.
    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        let what = format!("`{selector}` shows `{text}`");
        eventually(&what, async || self.text(selector).await.contains(text)).await;
    }

    /// Clicks where a person would; what lies beneath something else cannot be clicked.
    pub(crate) async fn clicks(&self, selector: &str) {
        let element = self.find(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/click"), json!({})).await;
    }

    /// Types into an element, key by key.
    pub(crate) async fn types(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.ask(Method::POST, &format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// All that the page has complained of since this was asked last: errors of scripts, what could not be loaded, what its
    /// policy forbids.
    pub(crate) async fn complaints(&self) -> Vec<Value> {
        let all = self.ask(Method::POST, "/se/log", json!({ "type": "browser" })).await;
        all.as_array().unwrap().clone()
    }

    /// Whether dark is preferred, and how large the screen is.
    pub(crate) async fn prefers(&self, scheme: &str, width: u32, height: u32) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tells("Emulation.setEmulatedMedia", json!({ "features": feature })).await;
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.tells("Emulation.setDeviceMetricsOverride", screen).await;
        self.tells("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    }

    /// A picture of the page from its top, as PNG.
    pub(crate) async fn picture(&self, width: u32, height: u32) -> Vec<u8> {
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let how = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.tells("Page.captureScreenshot", how).await;
        from_base64(taken["data"].as_str().unwrap())
    }

    async fn find(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.ask(Method::POST, "/element", by).await;
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    async fn tells(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask(Method::POST, "/goog/cdp/execute", body).await
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session)).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        let status = answer.status();
        let mut told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(status.is_success(), "{path} {body}: {told:#}");
        told["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed would leave its browser behind. Nothing can be awaited here.
        let (place, path) = self.session["http://".len()..].split_once('/').unwrap_or_default();
        if let Ok(mut stream) = TcpStream::connect(place) {
            let request = format!("DELETE /{path} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n");
            drop(stream.set_read_timeout(Some(Duration::from_secs(10))));
            drop(stream.write_all(request.as_bytes()));
            // It answers once the browser has ended.
            drop(stream.read(&mut [0; 512]));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
        drop(fs::remove_dir_all(&self.profile));
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').map(value).collect();
    let bytes = letters.chunks(4).flat_map(|four| {
        let whole = four.iter().fold(0_u32, |whole, six| whole << 6 | u32::from(*six));
        let whole = whole << (6 * (4 - four.len()));
        whole.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}
