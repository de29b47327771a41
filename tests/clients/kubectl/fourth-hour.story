# A fourth hour: every kind's rollouts, drains and deletions with every flag, mistakes in Services. See ../story.rs for the marks.
# Known to differ, and left out: autoscalers, pods' accounts, kinds that the embedded cluster hasn't, who else manages
# a field, `get --raw` of pages that people don't read, how often a cause is counted.
= create namespace fourth
~ config set-context --current --namespace=fourth
~ get serviceaccount default
~ get configmap kube-root-ca.crt
= get cm
= apply -f fourth-hour.yaml
~ rollout status statefulset/db --timeout=60s
~ rollout status daemonset/agent --timeout=60s
# Rollouts of sets.
= rollout history statefulset/db
= rollout history daemonset/agent
= get pods -l app=agent -L pod-template-generation
= set image statefulset/db db=postgres:2
= set image daemonset/agent agent=agent:2
~ rollout status statefulset/db --timeout=60s
~ rollout status daemonset/agent --timeout=60s
= get pods -l app=agent -L pod-template-generation
~ wait --for=create event --field-selector reason=SuccessfulDelete,involvedObject.name=agent --timeout=60s
= get events --field-selector reason=SuccessfulDelete,involvedObject.name=db --no-headers -o 'custom-columns=M:.message,F:.source.component'
= get events --field-selector reason=SuccessfulDelete,involvedObject.name=agent --no-headers -o 'custom-columns=M:.message,F:.source.component'
= rollout history statefulset/db --revision=1
= rollout history daemonset/agent --revision=2
= rollout history daemonset/agent --revision=7
= rollout undo statefulset/db --to-revision=7
= rollout undo statefulset/db --to-revision=1
= rollout undo daemonset/agent
~ rollout status statefulset/db --timeout=60s
~ rollout status daemonset/agent --timeout=60s
= rollout history statefulset/db
= rollout history daemonset/agent
= rollout undo daemonset/agent --dry-run=client
= rollout pause statefulset/db
= rollout restart statefulset -l app=db
~ rollout status statefulset/db --timeout=60s
= rollout restart pod/none
= rollout history
= create deployment web --image=nginx --replicas=2
~ rollout status deployment/web --timeout=60s
= rollout pause deployment web
= rollout pause deployment web
= rollout undo deployment/web
= rollout restart deployment web
= rollout resume deployment web
= rollout resume deployment web
= set image deployment,statefulset --all '*=x:1' --dry-run=client
= set env deployment/web A=b C=d
= set env deployment/web A-
= create configmap conf --from-literal=x=y
= set env deployment/web --from=configmap/conf --prefix=P_
= set env deployment/web --list --resolve
= set env deployment/web --from=configmap/none
= set serviceaccount deployment/web default
~ rollout status deployment/web --timeout=60s
# Services, and what is wrong with them.
= expose deployment web --port=80 --cluster-ip=None --name=headless
= expose deployment web --port=70000 --name=far
= expose deployment web --port=80 --protocol=XX --name=odd
= expose deployment web --port=80 --name=web
= expose service web --port=90 --name=sticky --session-affinity=ClientIP
= create service clusterip Bad_Name --tcp=80:80
= create service nodeport np --tcp=80:80 --node-port=30999
= create service nodeport np2 --tcp=80:80 --node-port=30999
= create service nodeport np3 --tcp=80:80 --node-port=99
= create service clusterip two --tcp=80 --tcp=81:x
= get svc -o wide
= patch svc web -p '{"spec":{"clusterIP":"10.0.0.250"}}'
= patch svc web -p '{"spec":{"type":"Bad"}}'
= patch svc web --type=merge -p '{"spec":{"ports":[]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"port":1},{"port":2}]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"name":"a","port":1},{"name":"a","port":2}]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"name":"A_","port":1}]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"port":80,"targetPort":"BAD_"}]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"port":80,"targetPort":"a--much-too-long-name"}]}}'
= patch svc web --type=merge -p '{"spec":{"ports":[{"port":80,"targetPort":"-1a"}]}}'
= patch svc web --type=merge -p '{"spec":{"sessionAffinity":"Bad"}}'
= patch svc web --type=merge -p '{"spec":{"externalIPs":["x"]}}'
= patch svc web --type=merge -p '{"spec":{"selector":{"a b":"c"}}}'
= patch svc headless --type=merge -p '{"spec":{"type":"NodePort"}}'
= patch svc web -p '{"spec":{"type":"NodePort"}}'
= patch svc web -p '{"spec":{"type":"ExternalName","externalName":"example.org"}}'
= set selector service web app=new --resource-version=1
= get svc kubernetes -n default -o 'jsonpath={.spec.ipFamilies} {.spec.ipFamilyPolicy}'
# Quotas and roles.
= create quota q --hard=pods=-1
= create quota q --hard=cpu=1 --scopes=BestEffort
= create quota q --hard=pods=1 --scopes=BestEffort,NotBestEffort
= create quota q --hard=pods=9 --scopes=BestEffort
= patch quota q -p '{"spec":{"scopes":["Bad"]}}'
= delete quota q
= create role r --verb=get --resource=pods/log,deployments.apps/scale
= patch role r --type=merge -p '{"rules":[{"verbs":[],"resources":["a"]}]}'
= patch role r --type=merge -p '{"rules":[{"verbs":["get"],"nonResourceURLs":["/metrics"]}]}'
= patch role r --type=merge -p '{"rules":[{"verbs":["get"],"apiGroups":[""]}]}'
# Labels and annotations.
= label pods --selector=app=db x=z
= label --overwrite -f fourth-hour.yaml f=g
= label deployment web a=b a-
= label deployment web x=y=z
= annotate deployment web --list
= annotate deployments --all b=c
= annotate deployments --all b-
# Drains.
= cordon -l kubernetes.io/hostname=w1
= cordon w1 -l a=b
= uncordon -l kubernetes.io/hostname=w1
= drain w1 --pod-selector=app=none
= drain w1 --pod-selector=app=none --ignore-daemonsets
= uncordon w1
= run naked --image=nginx --overrides='{"spec":{"nodeName":"w2","volumes":[{"name":"v","emptyDir":{}}]}}'
~ wait --for=condition=Ready pod/naked --timeout=60s
= drain w2 --pod-selector=run=naked
= drain w2 --pod-selector=run=naked --force
= drain w2 --pod-selector=run=naked --force --delete-emptydir-data --dry-run=server
= drain w2 --pod-selector=run=naked --force --delete-emptydir-data --disable-eviction --grace-period=1
= get pod naked
= drain w2 -l a=b
= drain none --ignore-errors
= uncordon w2 none
# Deletions.
= create sa held
= patch sa held -p '{"metadata":{"finalizers":["bad"]}}'
= patch sa held -p '{"metadata":{"finalizers":["x/y"]}}'
= delete sa held --wait=false
= create sa held
= patch sa held -p '{"metadata":{"finalizers":["x/y","x/z"]}}'
= patch sa held --type=merge -p '{"metadata":{"finalizers":null}}'
= get sa held
= delete -f fourth-hour.yaml --dry-run=server
= delete -f fourth-hour.yaml --cascade=orphan
= get pods -l 'app in (db,agent)' -o 'custom-columns=O:.metadata.ownerReferences'
= delete pods -l 'app in (db,agent)' --grace-period=1
= delete -f fourth-hour.yaml
= replace -f fourth-hour.yaml
= replace --force -f fourth-hour.yaml --timeout=60s
~ rollout status statefulset/db --timeout=60s
= apply -f fourth-hour.yaml
= apply view-last-applied sts/db
= wait --for=condition=Ready=False pod/db-0 --timeout=1s
= wait '--for=jsonpath={.spec.containers[*].image}=postgres' pod/db-0
= wait --for=nonsense pod/db-0
= create --raw /api/v1/namespaces -f list.yaml
= delete namespace fourth
= get cm
