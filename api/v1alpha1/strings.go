package v1alpha1

// EmailAddress is the address of a mailbox without a display name, such as joe@acme.example (RFC 5321 section 4.1.2
// without quoted local parts and address literals). Compared without regard to case, sent to as written.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:XValidation:rule=`self.matches('^[^\\s\\pZ\\pC"(),.:;<>@\\[\\]\\\\]+(\\.[^\\s\\pZ\\pC"(),.:;<>@\\[\\]\\\\]+)*@([\\pL\\pN]([\\pL\\pM\\pN-]{0,61}[\\pL\\pM\\pN])?\\.)+[\\pL\\pN]([\\pL\\pM\\pN-]{0,61}[\\pL\\pM\\pN])?$') && !self.matches('\\.[0-9]+$') && self.indexOf('@') <= 64`,message="an email address must look like joe@acme.example, without a display name"
type EmailAddress string

// Line is a text of one line that people read, such as a name. At most 128 characters, no control characters, line
// breaks or text-direction characters (they could make a name look like something else), not blank.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule=`!self.matches('[\\x00-\\x1f\\x7f\\x{80}-\\x{9f}\\x{2028}-\\x{202e}\\x{2066}-\\x{2069}]') && self.matches('[^\\s\\pZ\\pC]')`,message="a name is one line of text: no line breaks, control or text-direction characters, and not blank"
type Line string

// Locale is a language tag such as en, it or pl-PL (BCP 47). At most 35 characters.
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=35
// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$')`,message="a locale is a language tag such as en, it or pl-PL"
type Locale string

// WorkspaceName is the name of a Workspace: letters a-z, digits and single dashes. At most 63 characters.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue() && !self.contains('--')",message="a workspace name consists of a-z, 0-9 and single dashes, such as web"
type WorkspaceName string
