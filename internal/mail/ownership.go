package mail

import (
	"errors"
	"fmt"
	"time"

	"github.com/orgkeeper/orgkeeper/internal/invite/tenanttext"
)

// Ownership is the content of a mail that tells one of two people that the ownership of an organization passed between
// them. Its words are about that moment, so that they stay true when it arrives late and the ownership has moved on.
// Organization, Other and the recipient's name come from tenants and are shown as tenanttext makes them.
type Ownership struct {
	// Organization is the name to show. Cut to 100 characters.
	Organization string
	// Gained: the recipient is the new owner; else the owner before.
	Gained bool
	// Other is who of the two the recipient is not, by name. Cut to 100 characters.
	Other string
	// Role is what the owner before has now: one of Admin, BillingAdmin, UserAdmin and Member, or empty for no access. The
	// new owner has every right whatever it says.
	Role string
	// At is when it happened; shown to the minute, in UTC.
	At time.Time
}

// ownershipData is what the templates see: only text that is fit to be shown.
type ownershipData struct {
	Name, Organization, Other, Role, At string
	Gained                              bool
}

// ComposeOwnership writes a mail about a move of the ownership, as Compose does an invitation. It has no link.
func ComposeOwnership(e Envelope, o Ownership) (Message, error) {
	data, err := o.data(e.To.Name)
	if err != nil {
		return Message{}, fmt.Errorf("ownership mail: %w", err)
	}
	return compose(e, "ownership", data)
}

func (o Ownership) data(name string) (ownershipData, error) {
	data := ownershipData{
		Name:         tenanttext.Line(name, maxName),
		Organization: tenanttext.Line(o.Organization, maxName),
		Other:        tenanttext.Line(o.Other, maxName),
		Role:         roleInWords[o.Role],
		At:           inWords(o.At),
		Gained:       o.Gained,
	}
	switch {
	case data.Organization == "":
		return data, errors.New("organization has no name that can be shown")
	case data.Other == "":
		return data, errors.New("the other one has no name that can be shown")
	case data.Role == "" && o.Role != "":
		return data, errors.New("unknown role")
	case o.At.IsZero():
		return data, errors.New("the moment is missing")
	}
	return data, nil
}
