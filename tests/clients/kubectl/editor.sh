#!/bin/sh
# What a user does in `kubectl edit`: five replicas instead of three; and other data.
exec sed -i -e 's/^  replicas: 3$/  replicas: 5/' -e 's/^\(  *\)a: b$/\1a: c/' "$1"
