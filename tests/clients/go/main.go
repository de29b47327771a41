// client-go on a served embedded cluster: typed and dynamic informers, typed writes (which go out in protobuf), eviction,
// server-side apply. Ends with exit code 1 and a message, or prints what it did. Its argument is a kubeconfig.
package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

const namespace = "golang"

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

func check(holds bool, format string, args ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
}

func until(what string, holds func() bool) {
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		check(time.Now().Before(end), "not after a minute: %s", what)
	}
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}

func deployment(replicas int32) *appsv1.Deployment {
	web := map[string]string{"app": "web"}
	container := corev1.Container{Name: "web", Image: "web", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")},
	}}
	volume := corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: web},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: web},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{container}, Volumes: []corev1.Volume{volume}},
			},
		},
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	config := must(clientcmd.BuildConfigFromFlags("", os.Args[1]))
	client, loose := must(kubernetes.NewForConfig(config)), must(dynamic.NewForConfig(config))
	check(must(client.Discovery().ServerVersion()).Minor == "36", "another version")

	// Caches of everything, as controllers have them.
	factory := informers.NewSharedInformerFactory(client, 0)
	pods, nodes := factory.Core().V1().Pods(), factory.Core().V1().Nodes()
	var added, updated, deleted atomic.Int32
	must(pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { added.Add(1) },
		UpdateFunc: func(any, any) { updated.Add(1) },
		DeleteFunc: func(any) { deleted.Add(1) },
	}))
	nodes.Informer()
	machines := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	unstructured := dynamicinformer.NewDynamicSharedInformerFactory(loose, 0)
	deployments := unstructured.ForResource(machines)
	deployments.Informer()
	factory.Start(ctx.Done())
	unstructured.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		check(synced, "%v was not synced", kind)
	}
	for kind, synced := range unstructured.WaitForCacheSync(ctx.Done()) {
		check(synced, "%v was not synced", kind)
	}
	check(len(must(nodes.Lister().List(labels.Everything()))) == 3, "not three nodes")

	must(client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}))
	created := must(client.AppsV1().Deployments(namespace).Create(ctx, deployment(3), metav1.CreateOptions{}))
	check(*created.Spec.Replicas == 3 && created.Spec.Template.Spec.Volumes[0].EmptyDir != nil, "%v", created.Spec)
	running := func() (found []*corev1.Pod) {
		for _, pod := range must(pods.Lister().Pods(namespace).List(labels.SelectorFromSet(labels.Set{"app": "web"}))) {
			if ready(pod) {
				found = append(found, pod)
			}
		}
		return found
	}
	until("three pods are ready in the cache", func() bool { return len(running()) == 3 })
	until("the dynamic cache has them available", func() bool {
		object, err := deployments.Lister().ByNamespace(namespace).Get("web")
		if err != nil {
			return false
		}
		content := object.(interface{ UnstructuredContent() map[string]any }).UnstructuredContent()
		status, _ := content["status"].(map[string]any)
		return status["availableReplicas"] == int64(3)
	})

	evict := func(pod *corev1.Pod) error {
		return client.CoreV1().Pods(namespace).EvictV1(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: pod.Name},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		})
	}
	// Without a budget yet: one is asked before the UID is looked at, and would hold the disruption for two minutes.
	victims := running()
	wrong := *victims[0]
	wrong.UID = types.UID("00000000-0000-0000-0000-000000000000")
	check(apierrors.IsConflict(evict(&wrong)), "a wrong UID was taken")

	least := intstr.FromInt32(2)
	budgets := client.PolicyV1().PodDisruptionBudgets(namespace)
	must(budgets.Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	}, metav1.CreateOptions{}))
	until("the budget is counted", func() bool {
		return must(budgets.Get(ctx, "web", metav1.GetOptions{})).Status.DisruptionsAllowed == 1
	})
	check(evict(victims[0]) == nil, "the first eviction was refused")
	check(apierrors.IsTooManyRequests(evict(victims[1])), "the budget allowed a second eviction")
	until("the evicted pod is replaced", func() bool {
		_, err := pods.Lister().Pods(namespace).Get(victims[0].Name)
		return apierrors.IsNotFound(err) && len(running()) == 3
	})

	// Zero replicas is not the same as no number, in protobuf too.
	// The Deployment's status may be written in between.
	check(retry.RetryOnConflict(retry.DefaultRetry, func() error {
		scale := must(client.AppsV1().Deployments(namespace).GetScale(ctx, "web", metav1.GetOptions{}))
		scale.Spec.Replicas = 0
		_, err := client.AppsV1().Deployments(namespace).UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
		return err
	}) == nil, "not scaled")
	until("no pod is left", func() bool { return len(running()) == 0 })
	idle := deployment(0)
	idle.Name = "idle"
	idle = must(client.AppsV1().Deployments(namespace).Create(ctx, idle, metav1.CreateOptions{}))
	check(*idle.Spec.Replicas == 0, "zero replicas became %d", *idle.Spec.Replicas)

	patch := []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":1}}`)
	_, err := loose.Resource(machines).Namespace(namespace).Patch(ctx, "web", types.ApplyPatchType, patch, metav1.PatchOptions{FieldManager: "go", Force: new(bool)})
	check(apierrors.IsConflict(err) || err == nil, "server-side apply: %v", err)
	stale := must(client.AppsV1().Deployments(namespace).Get(ctx, "web", metav1.GetOptions{}))
	stale.ResourceVersion = "1"
	_, err = client.AppsV1().Deployments(namespace).Update(ctx, stale, metav1.UpdateOptions{})
	check(apierrors.IsConflict(err), "an old version was written over a new one: %v", err)
	check(client.AppsV1().Deployments(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}) == nil, "not deleted")
	until("the dynamic cache is empty", func() bool {
		left := must(deployments.Lister().ByNamespace(namespace).List(labels.Everything()))
		return len(left) == 0
	})
	check(added.Load() > 3 && updated.Load() > 3 && deleted.Load() >= 1, "%v %v %v", added.Load(), updated.Load(), deleted.Load())
	check(client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}) == nil, "the namespace was not deleted")
	fmt.Println("go: cached, created in protobuf, evicted, scaled, was refused")
}
