# Another hour: descriptions, less usual ways to change and to delete, mistakes. See ../story.rs for the marks.
# Known to differ, and left out: what comes from a pod's service account and its token, conditions of nodes and of pods in their
# order, endpoints, horizontal autoscalers, lists of values in `explain`.
= create namespace later
~ config set-context --current --namespace=later
~ get serviceaccount default
= get sa
= describe sa default
= create deployment d --image=nginx --replicas=3 --port=80
~ rollout status deployment/d --timeout=60s
= describe deployment d
= get deployment d -o 'jsonpath={.status.conditions[*].type} {.status.unavailableReplicas}'
= expose deployment d
= expose deployment d --name=d2 --type=NodePort --port=90 --target-port=http
= create service loadbalancer lb --tcp=80:8080
= create service externalname ext --external-name=example.org
= get svc
= get svc -o wide
= describe svc ext
= get svc d -o yaml
# Rollouts.
= annotate deployment d kubernetes.io/change-cause='first one'
= rollout history deployment d
= set image deployment/d nginx=nginx:2
~ rollout status deployment/d --timeout=60s
= rollout history deployment d
= rollout undo deployment/d --to-revision=9
= rollout undo deployment/d --to-revision=1 --dry-run=server
= rollout undo deployment/d --to-revision=1
~ rollout status deployment/d --timeout=60s
= rollout history deployment d
# Patches.
= patch deployment d --type=strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s"}]}}}}'
= get deployment d -o 'jsonpath={.spec.template.spec.containers[*].name}'
= patch deployment d --type=merge -p '{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"o"}]}}}}'
= get deployment d -o 'jsonpath={.spec.template.spec.containers[*].name}'
= patch deployment d --type=json -p '[{"op":"test","path":"/spec/replicas","value":9}]'
= patch deployment d --type=merge -p '{"spec":{"selector":{"matchLabels":{"app":"z"}}}}'
= patch deployment d --type=merge -p '{"spec":{"nonsense":1}}'
= patch deployment d --type=merge -p '{nonsense'
= patch deployment d --type=merge -p '{"metadata":{"resourceVersion":"1"}}'
= patch node w1 -p '{"spec":{"unschedulable":true}}'
= patch node w1 -p '{"spec":{"unschedulable":null}}'
~ rollout status deployment/d --timeout=60s
= set selector svc d app=x
= set subject rolebinding none --user=a
= set env deployment/d --list
= set resources deployment/d --requests=cpu=1x
= scale deployment d --replicas=-1
= scale --replicas=1 deployment/d deployment/none
= label deployment d a=b c=d
= label deployment d 'a=b c'
= label deployments --all x=y
= label node w1 w2 zone=a --overwrite
= create configmap c --from-literal=a=b --from-file=web.yaml
= describe cm c
= create configmap c --from-literal=a=b
= create configmap A --from-literal=a=b
= create secret generic s --from-literal=a=b --type=my/type
= create secret docker-registry r --docker-username=a --docker-password=b
= get secrets
= describe secret s
= get secret r -o yaml
= create secret tls bad --cert=web.yaml --key=web.yaml
= create pdb p --selector=app=d --min-available=1
= create pdb p2 --selector=app=d --max-unavailable=1 --min-available=1
= create ingress web --rule=example.org/*=web:80
= get ingress
= describe ingress web
= create role r --verb=get,list --resource=pods,deployments.apps --resource-name=x
= describe role r
= create rolebinding rb --role=r --user=jane --group=g
= describe rolebinding rb
= create clusterrole later --verb=* --resource=nodes
= describe clusterrole later
= create clusterrolebinding later --clusterrole=later --user=jane
= get clusterrolebinding later -o wide
= create quota q --hard=pods=50,cpu=20
~ get quota q -o 'jsonpath={.status.hard.pods}'
= create priorityclass later --value=1000 --description='for later'
= describe priorityclass later
# Jobs and how they go.
= create cronjob bad --image=x --schedule=nonsense
= create cronjob tick --image=busybox --schedule='0 0 1 1 *' -- date
= get cronjob tick -o wide
= describe cronjob tick
= delete quota q
= create job --from=cronjob/tick now
~ wait --for=condition=Complete job/now --timeout=60s
= get job now -o wide
= describe job now
= get job now -o 'jsonpath={.status.active} {.metadata.annotations}'
= get pods -l job-name=now -o 'jsonpath={.items[*].status.containerStatuses[*].started} {.items[*].metadata.finalizers}'
= delete job now --cascade=foreground
= get pods -l job-name=now
= create job k --image=busybox -- date
~ wait --for=condition=Complete job/k --timeout=60s
= delete job k --cascade=orphan
= get pods -l job-name=k -o 'custom-columns=O:.metadata.ownerReferences,F:.metadata.finalizers'
= delete pods --field-selector=status.phase=Succeeded
= create deployment x --image=nginx
= delete deployment x --cascade=foreground --timeout=30s
= get rs -l app=x
= create deployment y --image=nginx
~ rollout status deployment/y --timeout=60s
= delete deployment y --cascade=orphan
= get rs -l app=y
= delete rs -l app=y --cascade=background
~ wait --for=delete pod -l app=y --timeout=60s
= delete deployment d none --wait=false
# A pod.
= run p --image=busybox --env=A=b --labels=x=y --restart=Never --dry-run=client -o yaml
= run p --image=busybox --restart=Never --labels=x=y
~ wait --for=condition=Ready pod/p --timeout=60s
= get pod p
= get pod p -o 'jsonpath={.spec.restartPolicy} {.status.qosClass}'
= patch pod p -p '{"spec":{"containers":[{"name":"p","image":"busybox:2"}]}}'
= delete pod p --grace-period=0 --force
= delete pod p --wait=false
= wait pod/none --for=delete --timeout=1s
= wait pod/none --for=condition=Ready --timeout=1s
= wait deployment/none --for=create --timeout=1s
= get pods -w --request-timeout=2s -l app=none
= get pods --field-selector=foo=bar
= get pods -l 'app in (web,db'
# Nodes.
= taint nodes w3 k=v:NoExecute
= taint nodes w3 k=v:NoExecute --overwrite
= taint nodes w3 k=w:NoExecute
= taint nodes w3 k:NoExecute-
= taint nodes w3 k-
= taint nodes --all x=y:PreferNoSchedule
= taint nodes --all x-
= cordon none
= cordon -l kubernetes.io/hostname=w3
= uncordon w3
= drain w9
# What there is.
= apply -f web.yaml --dry-run=server
= apply -f web.yaml --server-side --dry-run=server
= apply view-last-applied deployment/none
= get crd
= get storageclass
= get pv,pvc
= describe ns later
= get ns later -o yaml
= explain pod.spec.containers.resources --recursive
= explain pods.metadata
= explain node
= explain lease
= explain ingress.spec
= explain pod.spec.imagePullSecrets
= explain sts.spec.persistentVolumeClaimRetentionPolicy
= explain deployment --api-version=apps/v2
+ auth can-i --list => *.*
= api-resources --api-group=nonsense
= get --raw /api/v1/namespaces/later/pods/none
= get --raw /livez
! create token default => the embedded cluster does not model serviceaccounts/token
! debug none --image=busybox => not found
= delete clusterrole,clusterrolebinding,priorityclass later
= delete namespace later
