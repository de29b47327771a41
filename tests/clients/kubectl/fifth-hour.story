# A fifth hour: what is behind Services, what CronJobs tell, what every namespace has again. See ../story.rs for the marks.
= create namespace fifth
~ config set-context --current --namespace=fifth
~ create cronjob tick --image=i '--schedule=* * * * *'
~ wait --for=create cm/kube-root-ca.crt --timeout=60s
= get cm
= get sa,secret,cm,pvc
= delete cm --all
~ wait --for=create cm/kube-root-ca.crt --timeout=60s
= get cm
# Services and their endpoints.
~ create deployment web --image=nginx --replicas=2 --port=80
= expose deployment web --port=8080 --target-port=80
= create service clusterip empty --tcp=80
= create service externalname far --external-name=example.com
~ rollout status deployment/web --timeout=60s
~ wait '--for=jsonpath={.subsets[0].addresses[1].ip}' endpoints/web --timeout=60s
~ wait --for=create endpoints/empty --timeout=60s
= get endpoints
= get endpoints web -o 'jsonpath={.metadata.labels} {.subsets[0].ports} {.subsets[0].addresses[*].targetRef.kind}'
= describe service web
= describe service empty far
= get endpointslices -l kubernetes.io/service-name=web
= get endpointslices -l kubernetes.io/service-name=web -o 'jsonpath={.items[0].metadata.labels} {.items[0].ports} {.items[0].endpoints[*].conditions}'
= delete service web
~ wait --for=delete endpoints/web --timeout=60s
= get endpoints
# Quotas, places that are not there.
= create quota q --hard=cpu=1,memory=1Gi,services=10 --scopes=BestEffort
= patch deployment web --subresource=wrong --type=merge -p '{"status":{"replicas":9}}'
= get --raw /apis/apps/v1/namespaces/fifth/deployments/web/wrong
# A CronJob's turn.
~ wait --for=create event --field-selector reason=SawCompletedJob --timeout=80s
= get events --field-selector reason=SawCompletedJob -o 'jsonpath={.items[0].type} {.items[0].involvedObject.kind} {.items[0].source.component} {.items[0].message}'
= get events --field-selector reason=SuccessfulCreate,involvedObject.kind=CronJob -o 'jsonpath={.items[0].type} {.items[0].source.component} {.items[0].message}'
= patch cronjob tick -p '{"spec":{"suspend":true}}'
= delete namespace fifth
