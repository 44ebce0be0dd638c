package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func report([]*result) string { return "" }

var _ = fmt.Sprint
var _ = maps.Keys[map[string]int]
var _ = slices.Contains[[]string]
var _ = strings.Cut
