package command

import (
	"encoding/json"
	"fmt"
	"io"

	"go.uber.org/zap"

	"meridian/internal/config"
)

// Process is what every command is given besides its own flags. Reports go to Stdout, logs to Stderr.
type Process struct {
	Program        string
	Stdout, Stderr io.Writer
	Logger         *zap.Logger
	ConfigPath     string
}

// RegionFlag is for the commands that are about one region.
type RegionFlag struct {
	Region string `placeholder:"NAME" env:"MERIDIAN_REGION" help:"The region."`
}

// Load reads the configuration and logs what looks wrong in it.
func (p *Process) Load() (*config.Config, error) {
	c, err := config.Load(p.ConfigPath)
	if err != nil {
		return nil, err
	}
	for _, w := range c.Warnings {
		p.Logger.Warn("configuration: "+w.Text, zap.String("file", c.Path), zap.Int("line", w.Line), zap.String("key", w.Key))
	}
	return c, nil
}

// LoadRegion reads the configuration and finds the command's region in it.
func (p *Process) LoadRegion(f RegionFlag) (*config.Config, *config.Region, error) {
	c, err := p.Load()
	if err != nil {
		return nil, nil, err
	}
	r, err := c.Region(f.Region)
	if err != nil {
		return nil, nil, &UsageError{err.Error()}
	}
	return c, r, nil
}

// PrintJSON writes a command's one document to stdout.
func (p *Process) PrintJSON(document any) error {
	encoder := json.NewEncoder(p.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Print writes to stdout.
func (p *Process) Print(text string) error {
	if _, err := io.WriteString(p.Stdout, text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
