//! Chromium, controlled by its DevTools protocol.
//!
//! Screenshots are written to the folder in the variable `SCREENSHOTS`, if it is set. If the variable `AXE_CORE` names the file
//! `axe.min.js` of the npm package axe-core, accessibility is checked with it.

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
        self.reload_by("location.reload()", ready);
    }

    /// Waits until a script has loaded the page again and the expression `ready` is true.
    pub(crate) fn reload_by(&mut self, script: &str, ready: &str) {
        self.evaluate(&format!("window.isOld = true; {script}; 0"));
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

    /// Chooses files in the input of this selector.
    pub(crate) fn choose(&mut self, selector: &str, files: &[PathBuf]) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let input = self.call("DOM.querySelector", json!({ "nodeId": root, "selector": selector }));
        self.call("DOM.setFileInputFiles", json!({ "nodeId": input["nodeId"], "files": files }));
    }

    /// Drops a file or folder onto the page.
    pub(crate) fn drop(&mut self, path: &Path) {
        let data = json!({ "items": [], "files": [path], "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.call("Input.dispatchDragEvent", json!({ "type": kind, "x": 100, "y": 200, "data": data }));
        }
    }

    /// The middle of an element in the window.
    pub(crate) fn middle(&mut self, selector: &str) -> [f64; 2] {
        let script = "(({ left, top, width, height }) => [left + width / 2, top + height / 2])";
        let element = format!("document.querySelector({})", json!(selector));
        let found = self.evaluate(&format!("{script}({element}.getBoundingClientRect())"));
        [0, 1].map(|i| found[i].as_f64().unwrap())
    }

    /// A `touchStart` or `touchMove` of fingers at these places of the window, or a `touchEnd` without any.
    pub(crate) fn touch(&mut self, kind: &str, fingers: &[[f64; 2]]) {
        let points = fingers.iter().enumerate();
        let points = Vec::from_iter(points.map(|(id, [x, y])| json!({ "id": id, "x": x, "y": y })));
        self.call("Input.dispatchTouchEvent", json!({ "type": kind, "touchPoints": points }));
    }

    /// Scrolls to an element and taps its middle.
    pub(crate) fn tap(&mut self, selector: &str) {
        let element = format!("document.querySelector({})", json!(selector));
        self.evaluate(&format!("{element}.scrollIntoView({{ block: 'center' }})"));
        let place = self.middle(selector);
        self.touch("touchStart", &[place]);
        self.touch("touchEnd", &[]);
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

/// `malaria-edge serve` with these arguments, and the first address that it prints.
pub(crate) fn serve(arguments: &[&str]) -> (Running, String) {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_malaria-edge"));
    serve.arg("serve").args(arguments).stdout(Stdio::piped());
    let mut server = Running(serve.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim().to_owned())
}

pub(crate) fn text(tab: &mut Tab, selector: &str) -> String {
    let script = format!("document.querySelector({}).innerText", json!(selector));
    tab.evaluate(&script).as_str().unwrap().trim().replace(['\u{a0}', '\u{202f}'], " ")
}

pub(crate) fn press(tab: &mut Tab, key: &str) {
    for kind in ["keyDown", "keyUp"] {
        let mut event = json!({ "type": kind, "key": key });
        if key.chars().count() == 1 {
            event["text"] = key.into();
        }
        tab.call("Input.dispatchKeyEvent", event);
    }
}

/// Waits until the results are those of all corrections made so far.
pub(crate) fn settle(tab: &mut Tab) {
    // A change by a key starts in another task.
    tab.evaluate("new Promise((done) => setTimeout(done, 20))");
    tab.wait_for("document.querySelector('#reading').ariaBusy === 'false'");
}

/// A mouse click at a place of the window; the mouse moves by a pixel between pressing and releasing.
pub(crate) fn click(tab: &mut Tab, [x, y]: [f64; 2]) {
    let mut event =
        json!({ "type": "mousePressed", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
    tab.call("Input.dispatchMouseEvent", event.clone());
    event["x"] = (x + 1.0).into();
    for kind in ["mouseMoved", "mouseReleased"] {
        event["type"] = kind.into();
        tab.call("Input.dispatchMouseEvent", event.clone());
    }
}

pub(crate) fn check_accessibility(tab: &mut Tab) {
    let Some(axe) = std::env::var_os("AXE_CORE") else { return };
    tab.evaluate(&format!("{}; 0", fs::read_to_string(axe).unwrap()));
    let found = tab.evaluate("axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))");
    assert_eq!(found, json!([]));
}
