# The homelab example. See ../story.rs for the marks.
+ get vmi -A => build-server
+ get vmi -A -o wide => LIVE-MIGRATABLE
+ get vm -A => STATUS
+ describe vm -n home router => Run Strategy
+ wait -n home vm/router --for=condition=Ready --timeout=60s => condition met
+ describe vmi -n home router => Phase Transition Timestamps
+ get vmi -n home router -o 'jsonpath={.status.phase}' => Running
+ explain vm => KIND:       VirtualMachine
+ get all -n home => virtualmachine.kubevirt.io/router
+ api-resources --api-group=kubevirt.io => vmi,vmis
+ describe node worker-01 => NodeReady
+ describe deployment -n shop web => Scaled up replica set
+ describe pdb -n shop web => Allowed disruptions
+ describe pvc -n shop data-db-0 => Bound
+ describe pv => shop/data-db-0
+ describe sts -n shop db => Create Pod db-0 in StatefulSet db successful
+ describe ds -n kube-system node-exporter => SuccessfulCreate
+ events -n shop => Successfully assigned shop/
+ get events -n shop => Started
+ auth can-i --list => *.*
+ auth whoami => virtroll:anyone
+ cluster-info => is running at
+ version => v1.36.3+virtroll-embedded
+ api-versions => kubevirt.io/v1
+ config view => virtroll-sim
+ drain worker-01 --ignore-daemonsets --delete-emptydir-data --timeout=100s => node/worker-01 drained
+ create -f migration.yaml => created
+ wait -n home vmim/move --for=jsonpath={.status.phase}=Succeeded --timeout=100s => condition met
+ get vmim -A => Succeeded
+ describe vmim -n home move => Succeeded
+ uncordon worker-01 => uncordoned
! get --raw /apis/subresources.kubevirt.io/v1/namespaces/home/virtualmachineinstances/router/guestosinfo => the model of KubeVirt has no virtualmachineinstances/guestosinfo
! logs -n shop deployment/web => the embedded cluster does not model pods/log
! exec -n shop deployment/web -- ls => the embedded cluster does not model pods/exec
! attach -n shop deployment/web => the embedded cluster does not model pods/attach
! port-forward -n shop deployment/web 8080:80 => the embedded cluster does not model pods/portforward
! cp -n shop web.yaml db-0:/tmp/web.yaml => the embedded cluster does not model pods/exec
! top pods -A => Metrics API not available
! top nodes => Metrics API not available
! autoscale -n shop deployment/web --max=3 => error
+ create serviceaccount -n shop robot => created
! create token -n shop robot => the embedded cluster does not model
