//! Requests in, responses out.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;

use super::body::Read;
use super::handed::Handed;
use super::route::{self, Route};
use super::table::Presenter;
use super::{
    access, admission, discovery, eviction, methods, openapi, options, protobuf, size, watch, write,
};
use crate::sim::extension::Extension;
use crate::sim::json::{Text, Value};
use crate::sim::store::{Refusal, Store};

/// What a response carries.
pub type ResponseBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The API server: shared store, extensions, and what a request costs in (virtual) time.
#[derive(Clone)]
pub struct ApiServer {
    store: Arc<Mutex<Store>>,
    extensions: Arc<Mutex<Vec<Arc<dyn Extension>>>>,
    latency: Duration,
    served: Arc<Mutex<HashMap<Asked, usize>>>,
    tracks: bool,
}

/// What requests are counted by.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    method: Method,
    resource: Text,
    /// Empty for none.
    subresource: Text,
    namespace: Text,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{} {}", self.method, self.resource, self.subresource, self.namespace)
    }
}

/// A request, read whole.
pub(super) struct Call {
    pub method: Method,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub content_type: String,
    /// The forms of an answer that the client takes.
    pub accept: String,
    pub body: Bytes,
    /// The body as JSON, once somebody has looked at it.
    pub read: Mutex<Option<Read>>,
    /// The client takes the answer as a value.
    pub takes_values: bool,
    /// Who the client says it is.
    pub user_agent: String,
    /// managedFields are kept of every object, not only of those that somebody applied to.
    pub tracks: bool,
    /// What the client is told beside the answer.
    pub warnings: Mutex<Vec<String>>,
}

impl Call {
    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        let read = self.read().map_err(|e| {
            Refusal::bad_request(format!("the object provided is unrecognized (must be JSON): {e}"))
        })?;
        let value = read.value.clone();
        if let Ok(mut kept) = self.read.lock() {
            *kept = Some(read);
        }
        Ok(value)
    }

    /// The body as it is read, once: whoever looks at it before it is written leaves it for the one who writes.
    pub(super) fn read(&self) -> Result<Read, serde_json::Error> {
        match self.read.lock().ok().and_then(|mut kept| kept.take()) {
            Some(read) => Ok(read),
            None => Read::of(&self.body),
        }
    }

    pub(super) fn has_body(&self) -> bool {
        self.takes_values || !self.body.is_empty()
    }

    /// Tells the client something beside the answer.
    pub(super) fn warn(&self, text: &str) {
        if let Ok(mut warnings) = self.warnings.lock() {
            warnings.push(text.to_owned());
        }
    }

    /// Who owns the fields that this request writes: as it says, or the first part of the client's name.
    pub(super) fn manager(&self) -> String {
        match self.query.get("fieldManager").filter(|m| !m.is_empty()) {
            Some(manager) => manager.clone(),
            None => self.user_agent.split('/').next().unwrap_or_default().chars().take(128).collect(),
        }
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.query.get("dryRun").is_some_and(|v| v == "All")
    }
}

fn full(code: StatusCode, value: &Value) -> Response<ResponseBody> {
    let mut bytes = Vec::with_capacity(4096);
    // Writing to memory doesn't fail.
    drop(serde_json::to_writer(&mut bytes, value));
    let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn empty() -> ResponseBody {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}

fn handed_over(code: StatusCode, value: Value) -> Response<ResponseBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = code;
    response.extensions_mut().insert(Handed(value));
    response
}

fn refuse(refusal: &Refusal) -> Response<ResponseBody> {
    if refusal.is_text() {
        let body =
            Full::new(Bytes::from(refusal.message.clone())).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::NOT_FOUND;
        let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
        return response;
    }
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = full(code, &refusal.status());
    let pause = refusal.details.as_ref().and_then(|d| d["retryAfterSeconds"].as_u64());
    if let Some(seconds) = pause.filter(|seconds| *seconds > 0) {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

impl ApiServer {
    /// An API server over a store; `latency` is what each request costs.
    pub fn new(store: Arc<Mutex<Store>>, latency: Duration) -> Self {
        Self { store, extensions: Arc::default(), latency, served: Arc::default(), tracks: false }
    }

    /// Keeps managedFields of every object that is created, as the real one does; without it, of those that are applied.
    #[must_use]
    pub fn tracking(mut self, tracks: bool) -> Self {
        self.tracks = tracks;
        self
    }

    /// Requests so far, by `METHOD RESOURCE[/SUBRESOURCE] NAMESPACE`.
    pub fn served(&self) -> BTreeMap<String, usize> {
        let Ok(served) = self.served.lock() else { return BTreeMap::new() };
        served.iter().map(|(asked, times)| (asked.to_string(), *times)).collect()
    }

    fn count(&self, call: &Call, route: &Route) {
        let asked = Asked {
            method: call.method.clone(),
            resource: route.resource.name.as_str().into(),
            subresource: route.subresource.as_deref().unwrap_or_default().into(),
            namespace: route.namespace.as_str().into(),
        };
        if let Ok(mut served) = self.served.lock() {
            *served.entry(asked).or_default() += 1;
        }
    }

    /// Lets a part join: webhooks and aggregated APIs.
    pub fn extend(&self, extension: Arc<dyn Extension>) {
        if let Ok(mut extensions) = self.extensions.lock() {
            extensions.push(extension);
        }
    }

    fn extensions(&self) -> Vec<Arc<dyn Extension>> {
        self.extensions.lock().map(|e| e.clone()).unwrap_or_default()
    }

    async fn handle(self, request: Request<Body>) -> Response<ResponseBody> {
        tokio::time::sleep(self.latency).await;
        let (mut parts, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return refuse(&Refusal::bad_request("the request's body broke off"));
        };
        for extension in self.extensions() {
            if let Some(answer) = extension.serve(&parts, &body) {
                return answer
                    .await
                    .map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
            }
        }
        // Taken, not copied: what nobody else holds is changed in place.
        let handed = parts.extensions.remove::<Handed>();
        let header = |name| parts.headers.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
        let (content_type, accept) = (header(http::header::CONTENT_TYPE), header(http::header::ACCEPT));
        let (content_type, accept) =
            (content_type.unwrap_or("application/json").to_owned(), accept.unwrap_or_default().to_owned());
        let user_agent = header(http::header::USER_AGENT).unwrap_or_default().to_owned();
        let (content_type, body) = match plain(&parts.method, content_type, body) {
            Ok(body) => body,
            Err(refusal) => return refuse(&refusal),
        };
        let (path, query) = route::place(parts.uri.path(), parts.uri.query().unwrap_or_default());
        let call = Call {
            method: parts.method,
            path,
            query,
            content_type,
            accept,
            body,
            takes_values: handed.is_some(),
            read: Mutex::new(handed.map(|Handed(value)| Read { value, twice: Vec::new() })),
            user_agent,
            tracks: self.tracks,
            warnings: Mutex::default(),
        };
        let mut response = self.answer(&call).await.unwrap_or_else(|refusal| refuse(&refusal));
        for warning in call.warnings.into_inner().unwrap_or_default() {
            if let Ok(value) = http::HeaderValue::from_str(&format!("299 - {warning:?}")) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        response
    }

    async fn answer(&self, call: &Call) -> Result<Response<ResponseBody>, Refusal> {
        methods::check_timeout(call)?;
        let route = {
            let store = self.store()?;
            if let Some(answer) = describes(&store, call)? {
                return Ok(answer);
            }
            Route::parse(&store, &call.path)?
        };
        self.count(call, &route);
        if route.resource.name == "endpoints"
            && (call.method != Method::PATCH || super::patch::check_type(&call.content_type, false).is_ok())
        {
            call.warn("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
        }
        methods::check(call, &route)?;
        if !call.takes_values {
            methods::check_forms(call, &route)?;
        }
        options::check(call)?;
        self.check_modelled(&route)?;
        size::check_body(&call.body)?;
        let watches = call.query.get("watch").is_some_and(|v| v == "true" || v == "1");
        // One object isn't watched by its own path: it is read.
        if call.method == Method::GET && watches && route.name.is_none() {
            let watch = watch::begin(&self.store, &route, call)?;
            if call.takes_values {
                let mut response = Response::new(empty());
                response.extensions_mut().insert(watch::events(watch));
                return Ok(response);
            }
            let lines = StreamBody::new(watch::lines(watch).map_ok(Frame::data)).boxed_unsync();
            return Ok(typed(Response::new(lines), "application/json"));
        }
        if call.method == Method::POST {
            self.check_place(call, &route)?;
        }
        self.admit(call, &route).await?;
        if route.subresource.as_deref() == Some("eviction") {
            return self.evict(call, &route);
        }
        let mut store = self.store()?;
        let (code, value) = match call.method {
            Method::GET => (StatusCode::OK, read(&store, call, &route)?),
            Method::POST => (StatusCode::CREATED, write::create(&mut store, call, &route)?),
            Method::PUT => write::replace(&mut store, call, &route)?,
            Method::PATCH => write::patch(&mut store, call, &route)?,
            Method::DELETE => (StatusCode::OK, write::delete(&mut store, call, &route)?),
            _ => return Err(Refusal::method_not_allowed()),
        };
        let value = route.in_version(value);
        let include = call.query.get("includeObject").map(String::as_str);
        match Presenter::of(&store, &route, &call.accept, include) {
            Some(presenter) => Ok(full(code, &presenter.present(&value))),
            None if call.takes_values => Ok(handed_over(code, value)),
            None => Ok(full(code, &value)),
        }
    }

    /// What needs a real container, kubelet or key is refused by name, whatever the request looks like: its body may be a
    /// stream.
    fn check_modelled(&self, route: &Route) -> Result<(), Refusal> {
        const UNMODELLED: [&str; 9] = [
            "attach",
            "ephemeralcontainers",
            "exec",
            "finalize",
            "log",
            "portforward",
            "proxy",
            "resize",
            "token",
        ];
        let Some(subresource) = route.subresource.as_deref().filter(|s| UNMODELLED.contains(s)) else {
            return Ok(());
        };
        let name = route.name.as_deref().unwrap_or_default();
        if self.store()?.get(&route.resource.name, &route.namespace, name).is_none() {
            return Err(Refusal::not_found(&route.resource.name, name));
        }
        Err(Refusal::not_modelled(&format!("{}/{subresource}", route.resource.name)))
    }

    /// What the API server looks at before it asks webhooks: the namespace takes new objects, and an eviction names its pod.
    fn check_place(&self, call: &Call, route: &Route) -> Result<(), Refusal> {
        let store = self.store()?;
        if route.resource.namespaced && store.is_terminating(&route.namespace) {
            let named = call.json()?["metadata"]["name"].as_str().map(str::to_owned);
            let name = route.name.clone().or(named).unwrap_or_default();
            return Err(Refusal::namespace_terminating(&route.resource.name, &name, &route.namespace));
        }
        if route.subresource.as_deref() == Some("eviction")
            && call.json()?["metadata"]["name"].as_str() != route.name.as_deref()
        {
            return Err(Refusal::bad_request("name in URL does not match name in Eviction object"));
        }
        Ok(())
    }

    /// Evicts, as the budgets allow.
    fn evict(&self, call: &Call, route: &Route) -> Result<Response<ResponseBody>, Refusal> {
        let eviction = super::body::read(call, route, &Value::Null)?;
        let name = route.name.clone().unwrap_or_default();
        let mut store = self.store()?;
        let status = eviction::evict(&mut store, &route.namespace, &name, &eviction, call.is_dry_run())?;
        Ok(full(StatusCode::CREATED, &status))
    }

    /// Asks the webhooks that a write concerns.
    async fn admit(&self, call: &Call, route: &Route) -> Result<(), Refusal> {
        let Some((resource, operation)) = admission::operation(call, route) else { return Ok(()) };
        for extension in self.extensions() {
            let webhooks = extension.webhooks(&resource);
            for webhook in webhooks.iter().filter(|w| w.operations.contains(&operation)) {
                let object = call.json()?;
                let named = object["metadata"]["name"].as_str();
                let name = named.or(route.name.as_deref()).unwrap_or_default().to_owned();
                if !webhook.concerns(&resource, operation, &name) {
                    continue;
                }
                if resource == "pods/eviction" && self.store()?.get("pods", &route.namespace, &name).is_none()
                {
                    return Err(Refusal::not_found("pods", &name));
                }
                let review = admission::review(call, route, operation, &object);
                admission::ask(&*extension, webhook, review).await?;
            }
        }
        Ok(())
    }

    fn store(&self) -> Result<std::sync::MutexGuard<'_, Store>, Refusal> {
        self.store.lock().map_err(|_| Refusal::new(500, "InternalError", "the store is broken"))
    }
}

/// What the API server says of itself: discovery, health, access.
fn describes(store: &Store, call: &Call) -> Result<Option<Response<ResponseBody>>, Refusal> {
    if let Some(answer) = access::answer(call) {
        return Ok(Some(full(StatusCode::CREATED, &answer?)));
    }
    let discovered = discovery::answer(store, &call.path);
    if call.method != Method::GET {
        // Some of these look at the path alone.
        let groups = call.path.starts_with("/apis") && call.path.trim_matches('/').split('/').count() <= 2;
        let any = groups || discovery::health(&call.path, false).is_some();
        if !any {
            return if discovered.is_some() { Err(Refusal::method_not_allowed()) } else { Ok(None) };
        }
    }
    if let Some(answer) = discovery::aggregated(store, &call.path, &call.accept) {
        return Ok(Some(typed(full(StatusCode::OK, &answer), discovery::AGGREGATED)));
    }
    if let Some(text) = discovery::health(&call.path, call.query.contains_key("verbose")) {
        let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
        return Ok(Some(typed(Response::new(body), "text/plain; charset=utf-8")));
    }
    if let Some(bytes) = openapi::in_protobuf(store, &call.path, &call.accept) {
        let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync();
        return Ok(Some(typed(Response::new(body), openapi::PROTOBUF)));
    }
    if let Some(document) = openapi::answer(store, &call.path, &call.accept) {
        return Ok(Some(full(StatusCode::OK, &*document?)));
    }
    Ok(discovered.map(|answer| full(StatusCode::OK, &answer)))
}

/// The body as JSON, if it came as protobuf or YAML. (Patches have forms of their own.)
fn plain(method: &Method, content_type: String, body: Bytes) -> Result<(String, Bytes), Refusal> {
    if content_type.starts_with("application/yaml") && *method != Method::PATCH && !body.is_empty() {
        let object: Value = serde_saphyr::from_slice(&body)
            .map_err(|e| Refusal::bad_request(format!("error decoding YAML: {e}")))?;
        return Ok(("application/json".to_owned(), Bytes::from(object.to_string())));
    }
    if !content_type.starts_with(protobuf::MEDIA) || body.is_empty() {
        return Ok((content_type, body));
    }
    let object = protobuf::read(&body).map_err(Refusal::bad_request)?.ok_or_else(|| {
        let message = "the embedded cluster does not read this kind in protobuf; send JSON";
        Refusal::new(415, "UnsupportedMediaType", message)
    })?;
    Ok(("application/json".to_owned(), Bytes::from(object.to_string())))
}

fn typed(mut response: Response<ResponseBody>, media: &'static str) -> Response<ResponseBody> {
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(media));
    response
}

fn read(store: &Store, call: &Call, route: &Route) -> Result<Value, Refusal> {
    if let Some(name) = &route.name {
        let asked = call.query.get("resourceVersion").map_or("", String::as_str);
        let asked = super::list::version(asked).map_err(|mut refusal| {
            // Reading one object, the same mistake counts as the server's own.
            refusal.code = 500;
            refusal.reason = String::new();
            refusal
        })?;
        store.reaches(asked)?;
        let object = store.get(&route.resource.name, &route.namespace, name);
        let object = object.ok_or_else(|| Refusal::not_found(&route.resource.name, name))?;
        return match route.subresource.as_deref() {
            None | Some("status") => Ok((**object).clone()),
            Some("scale") if route.resource.has_scale => super::scale::read(route, object),
            Some(other) => Err(Refusal::not_modelled(&format!("{}/{other}", route.resource.name))),
        };
    }
    super::list::list(store, call, route)
}

impl tower::Service<Request<Body>> for ApiServer {
    type Response = Response<ResponseBody>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.handle(request).await) })
    }
}
