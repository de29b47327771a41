//! The end of a definition is the end of its objects.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::api::ask;
use super::*;
use crate::sim::json::Value;
use crate::sim::store::DEFINITIONS;

const WIDGETS: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";
const WIDGET: &str = "widgets.example.com";

async fn post_widget(cluster: &EmbeddedCluster, name: &str) -> (u16, Value) {
    let body = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}});
    ask(cluster, "POST", "/apis/example.com/v1/namespaces/shop/widgets", body).await
}

#[tokio::test(start_paused = true)]
async fn the_objects_of_a_deleted_definition_are_gone_before_it_is() {
    let shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: w1}}\n---\n{shop}---{WIDGETS}");
    let cluster = after(1, &text).await;
    for name in ["free", "held"] {
        assert_eq!(post_widget(&cluster, name).await.0, 201);
    }
    change(&cluster, WIDGET, "shop", "held", |w| w["metadata"]["finalizers"] = json!(["example.com/hold"]));
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    definitions.delete(WIDGET, &DeleteParams::default()).await.expect("deleted");
    seconds(2).await;
    let going = stored(&cluster, DEFINITIONS, "", WIDGET);
    assert_eq!(
        going["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"]),
        "{going}"
    );
    let conditions = going["status"]["conditions"].as_array().expect("conditions");
    let terminating = conditions.iter().find(|c| c["type"] == "Terminating").expect("Terminating");
    assert_eq!(
        (&terminating["status"], &terminating["reason"]),
        (&json!("True"), &json!("InstanceDeletionInProgress"))
    );
    assert!(stored(&cluster, WIDGET, "shop", "free").is_null());
    assert!(!stored(&cluster, WIDGET, "shop", "held")["metadata"]["deletionTimestamp"].is_null());
    let (code, status) = post_widget(&cluster, "late").await;
    assert_eq!((code, &status["reason"]), (405, &json!("MethodNotAllowed")), "{status}");
    change(&cluster, WIDGET, "shop", "held", |w| w["metadata"]["finalizers"] = json!([]));
    seconds(2).await;
    assert!(stored(&cluster, DEFINITIONS, "", WIDGET).is_null());
    let again: CustomResourceDefinition = serde_saphyr::from_str(WIDGETS).expect("a definition");
    definitions.create(&PostParams::default(), &again).await.expect("created");
    seconds(2).await;
    assert_eq!(all(&cluster, WIDGET, "shop"), [] as [Value; 0]);
    assert_eq!(post_widget(&cluster, "free").await.0, 201);
}
