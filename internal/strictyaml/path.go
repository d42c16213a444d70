package strictyaml

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Path is the path of a setting, such as "orgs", "0", "orgId".
type Path []string

// Child returns the path of a setting below this one.
func (p Path) Child(steps ...string) Path { return append(slices.Clip(p), steps...) }

// String formats the path like orgs[0].orgId.
func (p Path) String() string {
	var text strings.Builder
	for i, step := range p {
		switch _, err := strconv.Atoi(step); {
		case err == nil:
			text.WriteString("[" + step + "]")
		case i > 0:
			text.WriteString("." + step)
		default:
			text.WriteString(step)
		}
	}
	return text.String()
}

// lineOf returns the line of a setting. If the setting is absent, it returns the
// line of the nearest setting above it.
func (d *Document) lineOf(p Path) int {
	line, node := 1, &d.root
	if node.Kind == yaml.DocumentNode {
		node = node.Content[0]
		line = node.Line
	}
	for _, step := range p {
		child, childLine := childOf(node, step)
		if child == nil {
			break
		}
		node, line = child, childLine
	}
	return line
}

// childOf returns a child of a node, and the line of its name.
func childOf(node *yaml.Node, step string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}
