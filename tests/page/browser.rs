//! Headless Chromium, spoken to by the DevTools protocol: one browser, pages by their files, what a page said and asked for.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Debian's flags for a browser that asks nobody anything.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
];
/// A loaded machine is slow to start a browser.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser; it ends with this value.
pub struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    profile: PathBuf,
    last: u64,
    /// Events that have come, by session.
    events: Vec<(String, Value)>,
}

/// A page that was opened.
#[derive(Clone)]
pub struct Tab {
    session: String,
}

impl Browser {
    /// Starts Chromium with an empty profile.
    pub fn start(name: &str) -> Self {
        let profile =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chromium-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&profile);
        std::fs::create_dir_all(&profile).expect("a folder for the profile");
        let program = std::env::var("VIRTROLL_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let child = Command::new(&program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{program} doesn't start ({e}); Debian's package is `chromium`"));
        let port = profile.join("DevToolsActivePort");
        let began = Instant::now();
        let (port, path) = loop {
            assert!(began.elapsed() < PATIENCE, "{program} opens no port");
            let text = std::fs::read_to_string(&port).unwrap_or_default();
            match text.split_once('\n') {
                Some((port, path)) if !path.trim().is_empty() => {
                    break (port.to_owned(), path.trim().to_owned());
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tungstenite::client(url, stream).expect("a WebSocket");
        Self { child, socket, profile, last: 0, events: Vec::new() }
    }

    fn send(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).expect("sent");
        loop {
            let answer = self.read();
            if answer["id"] == json!(self.last) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        loop {
            let Message::Text(text) = self.socket.read().expect("the browser answers") else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"].is_null() {
                let session = message["sessionId"].as_str().unwrap_or_default().to_owned();
                self.events.push((session, message.clone()));
            }
            return message;
        }
    }

    /// An empty page of a size, in a scheme of colours.
    pub fn tab(&mut self, width: u32, height: u32, scheme: &str) -> Tab {
        let target = self.send(None, "Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.send(None, "Target.attachToTarget", attach);
        let tab = Tab { session: attached["sessionId"].as_str().expect("a session").to_owned() };
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility", "DOM"] {
            self.call(&tab, &format!("{domain}.enable"), json!({}));
        }
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call(&tab, "Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call(&tab, "Emulation.setEmulatedMedia", features);
        tab
    }

    /// Opens a file and waits until it is there.
    pub fn open(&mut self, tab: &Tab, file: &Path) {
        let url = format!("file://{}", file.display());
        self.call(tab, "Page.navigate", json!({"url": url}));
        let loaded = |(session, event): &(String, Value)| {
            *session == tab.session && event["method"] == "Page.loadEventFired"
        };
        let began = Instant::now();
        while !self.events.iter().any(loaded) {
            assert!(began.elapsed() < PATIENCE, "{url} doesn't load");
            self.read();
        }
    }

    /// A command of the DevTools protocol.
    pub fn call(&mut self, tab: &Tab, method: &str, params: Value) -> Value {
        self.send(Some(&tab.session), method, params)
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, tab: &Tab, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call(tab, "Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Presses a key.
    pub fn press(&mut self, tab: &Tab, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let code = if key == "Tab" { 9 } else { 13 };
            let params = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            self.call(tab, "Input.dispatchKeyEvent", params);
        }
    }

    /// Nodes of the accessibility tree that are told to assistive technology: role, name, level of a heading.
    pub fn accessible(&mut self, tab: &Tab) -> Vec<Accessible> {
        let tree = self.call(tab, "Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let told = nodes.iter().filter(|n| n["ignored"] != json!(true));
        told.map(|node| {
            let level =
                node["properties"].as_array().and_then(|p| p.iter().find(|p| p["name"] == "level").cloned());
            Accessible {
                role: node["role"]["value"].as_str().unwrap_or_default().to_owned(),
                name: node["name"]["value"].as_str().unwrap_or_default().to_owned(),
                level: level.and_then(|l| l["value"]["value"].as_u64()).unwrap_or(0),
            }
        })
        .collect()
    }

    /// A picture of the whole page, for people.
    pub fn picture(&mut self, tab: &Tab, name: &str) {
        let params = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call(tab, "Page.captureScreenshot", params);
        keep(&format!("{name}.png"), picture["data"].as_str().expect("data"));
    }

    /// The page on paper: its PDF.
    pub fn paper(&mut self, tab: &Tab, name: &str) -> Vec<u8> {
        let params = json!({"preferCSSPageSize": true, "paperWidth": 8.27, "paperHeight": 11.69});
        let paper = self.call(tab, "Page.printToPDF", params);
        keep(&format!("{name}.pdf"), paper["data"].as_str().expect("data"))
    }

    /// What the page said on the console, what it threw, and what was reported of it.
    pub fn complaints(&self, tab: &Tab) -> Vec<String> {
        let mine = self.events.iter().filter(|(session, _)| *session == tab.session).map(|(_, event)| event);
        let bad = mine.filter(|e| {
            let method = e["method"].as_str().unwrap_or_default();
            ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"].contains(&method)
        });
        bad.map(|e| e["params"].to_string()).collect()
    }

    /// The addresses that the page asked for.
    pub fn requests(&self, tab: &Tab) -> Vec<String> {
        let mine = self.events.iter().filter(|(session, _)| *session == tab.session).map(|(_, event)| event);
        let asked = mine.filter(|e| e["method"] == "Network.requestWillBeSent");
        asked.filter_map(|e| e["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }
}

/// A node of the accessibility tree.
#[derive(Debug)]
pub struct Accessible {
    pub role: String,
    pub name: String,
    pub level: u64,
}

/// Writes a picture or a PDF under `target/`, for people.
fn keep(file: &str, base64: &str) -> Vec<u8> {
    use base64::Engine;
    let bytes = base64::prelude::BASE64_STANDARD.decode(base64).expect("base64");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut out = std::fs::File::create(folder.join(file)).expect("a file");
    out.write_all(&bytes).expect("written");
    bytes
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
