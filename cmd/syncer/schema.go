package main

type schemaCommand struct {
	regionFlag
	Apply bool `help:"x"`
}

func (c *schemaCommand) Run() error { return nil }
