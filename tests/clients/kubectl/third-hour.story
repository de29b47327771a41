# A third hour: what an operator met who looked for differences. See ../story.rs for the marks.
= create namespace third
~ config set-context --current --namespace=third
~ create deployment d --image=nginx --replicas=2
~ rollout status deployment/d --timeout=60s
# Sorted tables: each row's object is read by itself.
= get nodes --sort-by=.metadata.name
= get deployments --sort-by=.metadata.creationTimestamp
= get deployments,services --sort-by=.metadata.name
= get deployments -A --sort-by=.metadata.name -L app
= get pods --sort-by=.metadata.name --no-headers
= get secrets --sort-by=nope[
# Names that a path encodes.
= create role 'my role' --verb=get --resource=pods
= get role 'my role' -o name
= describe role 'my role'
= delete role 'my role'
= get role 'my role'
= create rolebinding 'a+b c' --role=x --user=y
= get rolebinding 'a+b c' -o wide
= delete rolebinding 'a+b c'
= create clusterrole sys:ü --verb=get --resource=pods
= get clusterrole sys:ü -o name
= delete clusterrole sys:ü
= get --raw /api/v1/namespaces/th%69rd/configmaps/none%20at%20all
# Namespaces that stay.
= delete namespace default
= delete namespace kube-public
= delete namespace kube-system --dry-run=server
# Lists and mistakes in files.
= create -f list.yaml
= apply -f list.yaml
= apply --server-side -f list.yaml
= apply -f misspelt.yaml
= edit cm one two
= delete -f list.yaml
# What a quota refuses is told.
= create quota q --hard=pods=2
~ scale deployment d --replicas=3
~ wait --for=condition=ReplicaFailure deployment/d --timeout=60s
= get deployment d -o 'jsonpath={.status.conditions[?(@.type=="ReplicaFailure")].reason}'
~ wait --for=create event --field-selector reason=FailedCreate --timeout=60s
= get events --field-selector reason=FailedCreate -o 'jsonpath={.items[0].type} {.items[0].involvedObject.kind}'
= delete quota q
# Scale, and what else differed. The third replica comes when its ReplicaSet tries again, after a growing pause.
~ wait '--for=jsonpath={.status.readyReplicas}=3' deployment/d --timeout=60s
= get deployment d --subresource=scale
= get events.events.k8s.io --field-selector reason=None
= create cronjob c --image=i --schedule='* * * * *' --dry-run=server -o name
= get --raw /api/v1/namespaces/third/nodes
= get pc
