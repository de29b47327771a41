# An ordinary hour with kubectl. See ../story.rs for the marks.
# Known to differ, and left out: conflicts of server-side apply with what kubectl wrote by other means, values that a custom
# kind's schema forbids, the words for a value of a wrong type in a strategic merge patch, lists of values in `explain`.
~ wait --for=condition=Ready node/w1 node/w2 node/w3 node/w4 --timeout=60s
= get nodes
= get nodes -o name
+ get nodes -o wide => KERNEL-VERSION
= get nodes -o 'jsonpath={.items[*].metadata.name}'
= get nodes -o 'custom-columns=NAME:.metadata.name,KERNEL:.status.nodeInfo.kernelVersion'
= get nodes -L kubernetes.io/hostname
= get nodes -l kubernetes.io/hostname=w2
= get node w9
= get namespaces
= get wombats
= create namespace story
= create namespace story
~ config set-context --current --namespace=story
= config view --minify -o 'jsonpath={..namespace}'
= get pods
= get all
# Things are made and changed.
= create -f web.yaml --dry-run=client
= create -f web.yaml --dry-run=server
= apply -f web.yaml
~ rollout status deployment/web --timeout=60s
= apply -f web.yaml
= get deployments
= get deployment web -o wide
= get deploy,rs,pods,pdb,cm/settings
= get pods -l app=web -o 'jsonpath={.items[*].status.phase}'
= get pods --field-selector status.phase=Running
= get pdb
= get cm settings -o 'jsonpath={.data}'
= get deploy web -o 'go-template={{.spec.replicas}}'
= diff -f web-2.yaml
= apply -f web-2.yaml
~ rollout status deployment/web --timeout=60s
= rollout history deployment/web
= rollout history deployment/web --revision=2
= rollout undo deployment/web
~ rollout status deployment/web --timeout=60s
= rollout restart deployment/web
~ rollout status deployment/web --timeout=60s
= rollout pause deployment/web
= set image deployment/web web=nginx:1.29
= rollout status deployment/web --timeout=1s
= rollout resume deployment/web
~ rollout status deployment/web --timeout=60s
= get deployment web -o 'jsonpath={.spec.template.spec.containers[0].image} {.metadata.generation}'
= set env deployment/web COLOUR=green
~ rollout status deployment/web --timeout=60s
= set resources deployment/web --limits=memory=64Mi
~ rollout status deployment/web --timeout=60s
= edit deployment/web
~ rollout status deployment/web --timeout=60s
= get deployment web -o 'jsonpath={.spec.replicas}'
= scale deployment/web --replicas=2
= scale deployment/web --replicas=3 --current-replicas=7
~ wait --for=jsonpath={.status.readyReplicas}=2 deployment/web --timeout=60s
= patch deployment web -p '{"spec":{"replicas":3}}'
= patch deployment web --type=merge -p '{"metadata":{"labels":{"tier":"front"}}}'
= patch deployment web --type=json -p '[{"op":"remove","path":"/metadata/labels/tier"}]'
= patch deployment web --type=json -p '[{"op":"remove","path":"/metadata/labels/tier"}]'
~ rollout status deployment/web --timeout=60s
= patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":4}}'
~ rollout status deployment/web --timeout=60s
= label deployment web team=red
= label deployment web team=blue
= label deployment web team=blue --overwrite
= label deployment web team-
= annotate deployment web note='two words'
= annotate pods -l app=web seen=yes
= expose deployment web --port=80
= get service web -o 'jsonpath={.spec.type} {.spec.ports[0].port} {.spec.selector}'
= create configmap more --from-literal=a=b
= create secret generic key --from-literal=a=b
= get secret key -o 'jsonpath={.data.a} {.type}'
= create deployment idle --image=nginx --replicas=0
= get deployment idle
= create serviceaccount robot
= create role reader --verb=get --resource=pods
= create rolebinding reads --role=reader --serviceaccount=story:robot
= get rolebinding reads -o wide
= create priorityclass high --value=1000
= get priorityclass high
= create poddisruptionbudget idle --selector=app=idle --min-available=50%
= get pdb idle
= create quota small --hard=pods=100
= run one --image=nginx
~ wait --for=condition=Ready pod/one --timeout=60s
= get pod one
= wait --for=jsonpath={.status.phase}=Running pod/one --timeout=10s
= wait --for=condition=Never pod/one --timeout=1s
= delete pod one --grace-period=1
= get pod one
= run one --image=nginx --restart=Never
= delete pod one --now
# Other workloads.
= apply -f set.yaml
~ rollout status statefulset/db --timeout=60s
~ rollout status daemonset/agent --timeout=60s
~ wait --for=condition=Complete job/once --timeout=60s
= get sts,ds,jobs
= get pods -l app=db
= get pods -l app=once
= rollout restart daemonset/agent
~ rollout status daemonset/agent --timeout=60s
= scale statefulset/db --replicas=1
~ wait --for=delete pod/db-1 --timeout=60s
= delete job once
= get pods -l app=once
= delete statefulset db --cascade=orphan
= get pods -l app=db
= delete pod db-0 --force
# Server-side apply.
= apply --server-side --field-manager=other --force-conflicts -f web-2.yaml
~ rollout status deployment/web --timeout=60s
# A kind of one's own.
= apply -f widgets.yaml
~ wait --for=condition=Established crd/widgets.example.org --timeout=30s
~ get widgets
= create -f widget.yaml
= get widgets
= get wd one -o wide
= get wd one -o yaml
= explain widgets
= explain widget.spec
= explain widget.spec.colour
= explain widget --recursive
= scale widget one --replicas=4
= patch widget one --type=merge -p '{"spec":{"size":5}}'
= patch widget one --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
= wait --for=condition=Ready widget/one --timeout=10s
= get widgets
= get all
= delete widget one
= delete crd widgets.example.org
# What there is.
= explain deployment.spec.replicas
= explain pod.spec.containers.image
= explain pdb.spec.minAvailable
= explain pvc.spec.volumeName
= explain configmap --recursive
= explain wombat
= explain pod.spec.wombat
= auth can-i create pods
= auth can-i delete nodes
= api-resources --api-group=apps
= api-resources --api-group=policy
= api-resources --api-group=batch
= get --raw /healthz
= get --raw /readyz
= get --raw /wombat
# A node's maintenance. With a replica for each node, there is one on w1.
= scale deployment/web --replicas=4
~ rollout status deployment/web --timeout=60s
= cordon w1
= cordon w1
= get nodes
= taint node w2 k=v:NoSchedule
= taint node w2 k=v:NoSchedule
= taint node w2 k-
= drain w1
= drain w1 --ignore-daemonsets --dry-run=client
~ drain w1 --ignore-daemonsets --timeout=60s
= uncordon w1
= uncordon w1
~ rollout status deployment/web --timeout=60s
= get pods --field-selector spec.nodeName=w1 -l app=web
= label node w2 rack=a
= annotate node w2 note=x
# Mistakes.
= get pod
= apply -f missing.yaml
= scale deployment/none --replicas=2
= rollout status deployment/none
= delete pod none
= delete pod none --ignore-not-found
= label pod none a=b
= logs none
= exec none -- ls
= set image deployment/web none=nginx
= create deployment web --image=nginx
= taint node w2 nonsense
= top nodes
# What is said of what happened.
= get events --field-selector reason=ScalingReplicaSet,involvedObject.name=idle
= delete deployment,service,pdb,secret --all
~ wait --for=delete pod -l app=web --timeout=60s
= get pods -l app=web
= delete namespace story
= get namespace story
