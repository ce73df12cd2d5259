//! Chromium, controlled by its DevTools protocol.
//!
//! Screenshots are written to the folder in the variable `SCREENSHOTS`, if it is set.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client, stream::MaybeTlsStream};

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tab of Chromium, controlled by its DevTools protocol.
pub(crate) struct Tab {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    session: Option<Value>,
    last: u64,
    /// Console messages.
    pub(crate) console: Vec<Value>,
    _browser: Running,
    _profile: tempfile::TempDir,
}

impl Tab {
    /// Opens `address` and waits until the expression `ready` is true.
    pub(crate) fn open(address: &str, ready: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut chromium = Command::new("chromium");
        chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]);
        chromium.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let mut browser = Running(chromium.stderr(Stdio::piped()).spawn().expect("chromium is installed"));
        let mut lines = BufReader::new(browser.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned));
        let url = url.expect("Chromium says where it listens");
        let host = url.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = MaybeTlsStream::Plain(TcpStream::connect(host).unwrap());
        let socket = client(&url, stream).unwrap().0;
        let mut tab = Self {
            socket,
            session: None,
            last: 0,
            console: Vec::new(),
            _browser: browser,
            _profile: profile,
        };
        let made = tab.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": made["targetId"], "flatten": true });
        tab.session = Some(tab.call("Target.attachToTarget", target)["sessionId"].clone());
        for domain in ["Runtime.enable", "Log.enable", "Page.enable", "DOM.enable"] {
            tab.call(domain, json!({}));
        }
        tab.call("Page.navigate", json!({ "url": address }));
        tab.wait_for(&format!("document.readyState === 'complete' && {ready}"));
        tab
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let answer = self.ask(method, parameters);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The answer to a command, which may be an error.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = session.clone();
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == self.last {
                return answer;
            }
            let event = answer["method"].as_str().unwrap_or_default();
            // Nothing else would be answered before the dialog is.
            assert!(event != "Page.javascriptDialogOpening", "an unexpected dialog: {answer}");
            if ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"].contains(&event) {
                self.console.push(answer);
            }
        }
    }

    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let answer = self.call(
            "Runtime.evaluate",
            json!({ "expression": script, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Loads the page again, and waits until the expression `ready` is true.
    pub(crate) fn reload(&mut self, ready: &str) {
        self.evaluate("window.isOld = true");
        self.call("Page.reload", json!({}));
        let condition = format!("!window.isOld && document.readyState === 'complete' && {ready}");
        for _ in 0..300 {
            // Scripts fail while a page is being left.
            let answer =
                self.ask("Runtime.evaluate", json!({ "expression": condition, "returnByValue": true }));
            if answer["result"]["result"]["value"] == true {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("never came true: {condition}");
    }

    pub(crate) fn wait_for(&mut self, condition: &str) {
        for _ in 0..300 {
            if self.evaluate(condition) == true {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("never came true: {condition}; the page: {}", self.evaluate("document.body.innerText"));
    }

    pub(crate) fn choose_language(&mut self, language: &str) {
        self.evaluate(&format!(
            "{{ const choice = document.querySelector('#language'); choice.value = '{language}'; \
             choice.dispatchEvent(new Event('change')) }}"
        ));
    }

    pub(crate) fn choose(&mut self, files: &[PathBuf]) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let input = self.call("DOM.querySelector", json!({ "nodeId": root, "selector": "#files" }));
        self.call("DOM.setFileInputFiles", json!({ "nodeId": input["nodeId"], "files": files }));
    }

    /// Drops a file or folder onto the page.
    pub(crate) fn drop(&mut self, path: &Path) {
        let data = json!({ "items": [], "files": [path], "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.call("Input.dispatchDragEvent", json!({ "type": kind, "x": 100, "y": 200, "data": data }));
        }
    }

    pub(crate) fn set_screen(&mut self, width: u32, height: u32, scheme: &str) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", scheme);
    }

    pub(crate) fn screenshot(&mut self, name: &str) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        if let Some(folder) = std::env::var_os("SCREENSHOTS") {
            let picture = self
                .call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
            let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
            fs::write(Path::new(&folder).join(name), bytes).unwrap();
        }
    }
}
