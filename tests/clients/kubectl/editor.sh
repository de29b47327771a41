#!/bin/sh
# What a user does in `kubectl edit`: five replicas instead of three.
exec sed -i 's/^  replicas: 3$/  replicas: 5/' "$1"
