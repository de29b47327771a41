//! The model's behaviour, claim by claim of what KubeVirt's own controllers were seen to do.
